"""Stack: the same block ``depth`` times, scanned, with a rematerialisation policy."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core import layers as every
from unified_jax.core.cache import Cache
from unified_jax.core.mask import visible
from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array
from unified_jax.nn.attention import KeysValues
from unified_jax.nn.block import PLACES, Context, Side, States
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.rope import Rotation

REMAT = {
    "none": jax.checkpoint_policies.everything_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}

UNLIMITED = np.iinfo(np.int32).max  # the window of a layer that has none


class Stack(nn.Module):
    """Parameters of all layers are stacked on a leading axis L under ``layer``, or there one by one (``apart``).

    block: partial of Block. rope: positions -> rotation, computed once for all layers.
    windows: every layer's sliding window in sequence indices, None for a layer without; () for no layer with one.
    remat: what backward keeps of a layer: "none" recomputes nothing, "dots" keeps matrix products, "full" recomputes
      everything from the layer's input. unroll: layers per scan step; more compiles longer and may run faster.
    norm: of the last layer's states, None for none. bias: partial of ``nn.relative_bias``, one for all layers.
    modulation: partial of ``SharedModulation``, what adaptive norms of all layers are told of the condition; None where
      each makes of the condition what it needs.
    """

    block: Callable[..., nn.Module]
    depth: int
    rope: Callable[[Array], Rotation]
    windows: tuple[int | None, ...] = ()
    remat: str = "none"
    unroll: int = 1
    norm: Callable[..., nn.Module] | None = RMSNorm
    bias: Callable[..., nn.Module] | None = None
    modulation: Callable[..., nn.Module] | None = None

    @nn.compact
    def __call__(
        self,
        xs: States,
        *,
        slots: Slots,
        cache: Cache | None = None,
        layers: int | None = None,
        condition: States | None = None,
        context: Context | None = None,
    ) -> tuple[States, KeysValues]:
        """{lane: [B T D]} -> normalised states of the last layer, and every layer's own keys and values.

        slots: of the joined lanes. cache: what was committed before; the returned (k, v) are [L B K T C]. layers: how
        many run, all unless given. condition: {lane: [B U E]}, U being 1 or T, what adaptive norms are told; None for
        plain norms. context: what cross-attention reads. Raises ValueError for an unknown remat policy or a number of
        windows other than ``depth``.
        """
        if self.remat not in REMAT:
            raise ValueError(f"unknown remat policy {self.remat!r}; choose one of {', '.join(REMAT)}")
        bias = None if self.bias is None else self.bias(name="bias")(slots, slots)
        side = Side(
            self.rope(slots.pos),
            slots,
            before=cache.slots if cache is not None else None,
            bias=bias,
            told=self._told(condition),
            context=context,
            seen=None if context is None else visible(slots, context.slots),
        )

        def layer(block, xs, each):
            stored, window = each
            past = cache.storage.decode(stored) if cache is not None else None
            return block(xs, past, side, window=window)

        if self.remat != "none":
            layer = nn.remat(layer, prevent_cse=False, policy=REMAT[self.remat])
        each = (cache.kv if cache is not None else None, self._windows())
        if isinstance(self.variables.get("params", {}).get("layer"), tuple):
            xs, kv = self._one_by_one(layer, xs, each)
        else:
            xs, kv = self._scanned(layer, xs, each, layers)
        if self.norm is None:
            return xs, kv
        experts = {lane: self.block.keywords["route"][lane] for lane in xs}
        norms = {expert: self.norm(name=f"norm_{expert}") for expert in sorted(set(experts.values()))}
        return {lane: norms[experts[lane]](x) for lane, x in xs.items()}, kv

    @nn.nowrap
    def apart(self, params: Mapping[str, Any], cache: Cache) -> tuple[Mapping[str, Any], Cache]:
        """The parameters with a tuple of every layer's own under ``layer``, and a cache to be read with lists of layers
        (``core.layers``). Both are run all the same; what is apart already stays as it is.

        For few slots at a time copying a slice of the stack costs nearly as much as using it. The price is a second
        copy. Where the layers themselves are a loop (``unroll`` below ``depth``), both stay as they are.
        """
        if self.unroll < self.depth:
            return params, cache
        own = params["layer"]
        own = own if isinstance(own, tuple) else tuple(every.layer(own, i) for i in range(self.depth))
        return {**params, "layer": own}, cache.replace(kv=every.apart(cache.kv))

    def _told(self, condition: States | None) -> dict[str, States] | None:
        """By place, what every layer's norms are told."""
        if condition is None or self.modulation is None:
            return None if condition is None else dict.fromkeys(PLACES, condition)
        shared = self.modulation(name="modulation")
        by_lane = {lane: shared(x, PLACES) for lane, x in condition.items()}
        return {place: {lane: told[place] for lane, told in by_lane.items()} for place in PLACES}

    def _scanned(
        self, layer: Callable[..., Any], xs: States, each: Any, layers: int | None
    ) -> tuple[States, KeysValues]:
        scan = self._scan(layer, self.depth if layers is None else layers)
        if layers is not None:
            first = lambda tree: jax.tree.map(lambda x: x[:layers], tree)
            scan, each = nn.map_variables(scan, "params", trans_in_fn=first), first(each)
        return scan(self.block(name="layer"), xs, each)

    def _scan(self, layer: Callable[..., Any], length: int) -> Callable[..., Any]:
        """The layer ``length`` times, with parameters of its own each time."""
        return nn.scan(
            layer,
            variable_axes={"params": 0, "router": 0},
            split_rngs={"params": True},
            length=length,
            unroll=self.unroll,
        )

    def _one_by_one(self, layer: Callable[..., Any], xs: States, each: Any) -> tuple[States, KeysValues]:
        block, own = self.block(parent=None), []
        for i, params in enumerate(self.variables["params"]["layer"]):
            xs, kv = block.apply({"params": params}, xs, every.layer(each, i), method=layer)
            own.append(kv)
        return xs, jax.tree.map(lambda *x: jnp.stack(x), *own)

    def _windows(self) -> Array | None:
        if not self.windows:
            return None
        if len(self.windows) != self.depth:
            raise ValueError(f"{len(self.windows)} windows for {self.depth} layers")
        return jnp.asarray([UNLIMITED if window is None else window for window in self.windows], jnp.int32)
