"""Reading: a stack that reads one of the lanes by cross-attention and is made of the others."""

import flax.linen as nn

from unified_jax.core.sequence import Slots, join, split
from unified_jax.nn.attention import KeysValues
from unified_jax.nn.block import Context, States
from unified_jax.nn.stack import Stack


class Reading(nn.Module):
    """stack: of blocks with cross-attention. lane: which it reads; its own states do not change."""

    stack: Stack
    lane: str

    def __call__(self, xs: States, *, slots: Slots, condition: States | None = None) -> tuple[States, KeysValues]:
        """{lane: [B T D]} and the joined lanes' Slots -> the states of the other lanes, their keys and values."""
        apart = split(slots, {lane: x.shape[1] for lane, x in xs.items()})
        others = {lane: x for lane, x in xs.items() if lane != self.lane}
        return self.stack(
            others,
            slots=join({lane: apart[lane] for lane in others}),
            condition=None if condition is None else {lane: condition[lane] for lane in others},
            context=Context(xs[self.lane], apart[self.lane]),
        )
