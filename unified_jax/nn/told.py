"""Told: pieces that read what an entry is told besides its values, a class: ``Payload.told``."""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, Float, Int


class Classes(nn.Module):
    """A row of a table for each class; what adaptive norms are told."""

    count: int
    width: int

    def setup(self):
        init = nn.initializers.normal(self.width**-0.5)
        self.table = self.param("table", init, (self.count, self.width), jnp.float32)

    def __call__(self, payload: Payload, pos: Int[Array, "B N A"] | None = None) -> Float[Array, "B N D"]:
        return self.table[payload.told]


class ToldHead(nn.Module):
    """head: behind an adaptive norm that is told the class. norm: partial, like ``AdaNorm`` without a gate."""

    classes: nn.Module
    norm: nn.Module
    head: nn.Module

    def __call__(self, states: Float[Array, "B N D"], payload: Payload) -> Float[Array, "B N V"]:
        return self.head(self.norm(states, self.classes(payload)).states, payload)
