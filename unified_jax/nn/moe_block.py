"""MoeBlock: a Block whose feed-forward piece is a mixture of experts."""

from collections.abc import Mapping

from unified_jax.core.sequence import split
from unified_jax.nn.block import Block, Side, States


class MoeBlock(Block):
    """As ``Block``; empty slots are kept from the experts, whose load they would otherwise count in."""

    def _feed(self, xs: States, side: Side) -> States:
        valid: Mapping = split(side.slots.doc > 0, {lane: x.shape[1] for lane, x in xs.items()})
        experts = {name: self.mlp(name=f"mlp_{name}") for name in sorted({self._expert("mlp", lane) for lane in xs})}
        return {lane: experts[self._expert("mlp", lane)](x, valid=valid[lane]) for lane, x in xs.items()}
