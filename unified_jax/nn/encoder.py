"""Encoder: a whole text or picture at once -> a state for every slot and a vector for the whole."""

import flax.linen as nn
from flax import struct

from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array, Float, Leaf
from unified_jax.nn.stack import Stack


@struct.dataclass
class Embedded:
    """What a stack reads. states: [B T D]. slots: of them. read: int32 [B N], the slot that stands for each of N
    texts or pictures of a row, where there is one.
    """

    states: Leaf
    slots: Slots
    read: Leaf


@struct.dataclass
class Encoded:
    """states: [B T D], of the last layer. pooled: [B N D], one vector for each of N texts or pictures of a row; None
    where the network has none.
    """

    states: Leaf
    pooled: Leaf


class Encoder(nn.Module):
    """embed, then stack, then norm, and pool of that; norm and pool None for none.

    embed: the arguments -> ``Embedded``. stack: without a norm of its own. pool: as in ``nn/pool.py``.
    """

    embed: nn.Module
    stack: Stack
    norm: nn.Module | None
    pool: nn.Module | None

    def __call__(self, *inputs: Leaf) -> Encoded:
        x = self.embed(*inputs)
        states, _ = self.stack({"main": x.states}, slots=x.slots)
        states = states["main"] if self.norm is None else self.norm(states["main"])
        return Encoded(states, None if self.pool is None else self.pool(states, x.slots, x.read))

    def features(self, *inputs: Leaf, layer: int) -> Float[Array, "B T D"]:
        """States after so many layers as they are, without a norm; those after it are not run.

        layer: 0 for what is embedded, negative ones from the end, -1 the last: the published ``hidden_states[layer]``.
        Raises ValueError for one that there is not.
        """
        depth = self.stack.depth
        if not -depth - 1 <= layer <= depth:
            raise ValueError(f"layer {layer} of an encoder of {depth} layers: from {-depth - 1} to {depth}")
        x = self.embed(*inputs)
        return self.stack({"main": x.states}, slots=x.slots, layers=layer % (depth + 1))[0]["main"]
