"""MoeBlock: a Block whose feed-forward piece is a mixture of experts."""

from unified_jax.core.sequence import split
from unified_jax.nn.block import Block, Side, States


class MoeBlock(Block):
    """As ``Block``; empty slots are kept from the experts, whose load they would otherwise count in."""

    def _feed(self, xs: States, side: Side) -> States:
        if self.ends:
            raise ValueError(f"lanes {self.ends} end in a block of experts, which feeds every lane")
        valid = split(side.slots.doc > 0, {lane: x.shape[1] for lane, x in xs.items()})
        return self._each("mlp", lambda expert: self.mlp(name=f"mlp_{expert}"), xs, valid=valid)
