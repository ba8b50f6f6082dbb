"""Stack: the same block ``depth`` times, scanned, with a rematerialisation policy."""

from collections.abc import Callable

import flax.linen as nn
import jax

from unified_jax.core.types import Array, Bool, Int
from unified_jax.nn.block import Side
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.rope import Rope

REMAT = {
    "none": jax.checkpoint_policies.everything_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


class Stack(nn.Module):
    """Parameters of all layers are stacked on a leading axis L under ``layer``.

    block: partial of Block. rope: positions -> rotation, computed once for all layers.
    remat: what backward keeps of a layer: "none" recomputes nothing, "dots" keeps matrix products, "full" recomputes
      everything from the layer's input. unroll: layers per scan step; more compiles longer and may run faster.
    """

    block: Callable[..., nn.Module]
    depth: int
    rope: Rope
    remat: str = "none"
    unroll: int = 1
    norm: Callable[..., nn.Module] = RMSNorm

    @nn.compact
    def __call__(
        self,
        xs: dict[str, Array],
        *,
        pos: Int[Array, "B T A"],
        mask: Bool[Array, "B T S"],
        past: tuple[Array, Array] | None = None,
    ) -> tuple[dict[str, Array], tuple[Array, Array]]:
        """{lane: [B T D]} -> normalised states of the last layer, and every layer's own keys and values.

        past: cached (k, v), [L B K S' C] each; the returned (k, v) are [L B K T C]. Raises ValueError for an unknown
        remat policy.
        """
        if self.remat not in REMAT:
            raise ValueError(f"unknown remat policy {self.remat!r}; choose one of {', '.join(REMAT)}")
        side = Side(self.rope(pos), mask)

        def layer(block, xs, past):
            return block(xs, past, side)

        if self.remat != "none":
            layer = nn.remat(layer, prevent_cse=False, policy=REMAT[self.remat])
        scan = nn.scan(
            layer, variable_axes={"params": 0}, split_rngs={"params": True}, length=self.depth, unroll=self.unroll
        )
        xs, kv = scan(self.block(name="layer"), xs, past)
        experts = {lane: self.block.keywords["route"][lane] for lane in xs}
        norms = {expert: self.norm(name=f"norm_{expert}") for expert in sorted(set(experts.values()))}
        return {lane: norms[experts[lane]](x) for lane, x in xs.items()}, kv
