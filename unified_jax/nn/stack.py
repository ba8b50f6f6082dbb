"""Stack: the same block ``depth`` times, scanned, with a rematerialisation policy."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core.cache import Cache
from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array
from unified_jax.nn.attention import KeysValues
from unified_jax.nn.block import Side, States
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.rope import NoRope, Rope

REMAT = {
    "none": jax.checkpoint_policies.everything_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}

UNLIMITED = np.iinfo(np.int32).max  # the window of a layer that has none


class Stack(nn.Module):
    """Parameters of all layers are stacked on a leading axis L under ``layer``.

    block: partial of Block. rope: positions -> rotation, computed once for all layers.
    windows: every layer's sliding window in sequence indices, None for a layer without; () for no layer with one.
    remat: what backward keeps of a layer: "none" recomputes nothing, "dots" keeps matrix products, "full" recomputes
      everything from the layer's input. unroll: layers per scan step; more compiles longer and may run faster.
    norm: of the last layer's states, None for none. bias: partial of ``nn.relative_bias``, one for all layers.
    """

    block: Callable[..., nn.Module]
    depth: int
    rope: Rope | NoRope
    windows: tuple[int | None, ...] = ()
    remat: str = "none"
    unroll: int = 1
    norm: Callable[..., nn.Module] | None = RMSNorm
    bias: Callable[..., nn.Module] | None = None

    @nn.compact
    def __call__(
        self, xs: States, *, slots: Slots, cache: Cache | None = None, layers: int | None = None
    ) -> tuple[States, KeysValues]:
        """{lane: [B T D]} -> normalised states of the last layer, and every layer's own keys and values.

        slots: of the joined lanes. cache: what was committed before; the returned (k, v) are [L B K T C]. layers: how
        many run, all unless given. Raises ValueError for an unknown remat policy or a number of windows other than
        ``depth``.
        """
        if self.remat not in REMAT:
            raise ValueError(f"unknown remat policy {self.remat!r}; choose one of {', '.join(REMAT)}")
        bias = None if self.bias is None else self.bias(name="bias")(slots, slots)
        side = Side(self.rope(slots.pos), slots, cache.slots if cache is not None else None, bias)

        def layer(block, xs, each):
            stored, window = each
            past = cache.storage.decode(stored) if cache is not None else None
            return block(xs, past, side, window=window)

        if self.remat != "none":
            layer = nn.remat(layer, prevent_cse=False, policy=REMAT[self.remat])
        scan = nn.scan(
            layer,
            variable_axes={"params": 0, "router": 0},
            split_rngs={"params": True},
            length=self.depth if layers is None else layers,
            unroll=self.unroll,
        )
        each = (cache.kv if cache is not None else None, self._windows())
        if layers is not None:
            first = lambda tree: jax.tree.map(lambda x: x[:layers], tree)
            scan, each = nn.map_variables(scan, "params", trans_in_fn=first), first(each)
        xs, kv = scan(self.block(name="layer"), xs, each)
        if self.norm is None:
            return xs, kv
        experts = {lane: self.block.keywords["route"][lane] for lane in xs}
        norms = {expert: self.norm(name=f"norm_{expert}") for expert in sorted(set(experts.values()))}
        return {lane: norms[experts[lane]](x) for lane, x in xs.items()}, kv

    def _windows(self) -> Array | None:
        if not self.windows:
            return None
        if len(self.windows) != self.depth:
            raise ValueError(f"{len(self.windows)} windows for {self.depth} layers")
        return jnp.asarray([UNLIMITED if window is None else window for window in self.windows], jnp.int32)
