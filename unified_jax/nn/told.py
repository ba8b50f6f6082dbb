"""Told: pieces that read what an entry is told besides its values: a class, ``Payload.told``, or its time."""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.condition import TimeEmbed, Told


class Classes(nn.Module):
    """A row of a table for each class; what adaptive norms are told."""

    count: int
    width: int

    def setup(self):
        init = nn.initializers.normal(self.width**-0.5)
        self.table = self.param("table", init, (self.count, self.width), jnp.float32)

    def __call__(self, payload: Payload, pos: Int[Array, "B N A"] | None = None) -> Float[Array, "B N D"]:
        return self.table[payload.told]


class ClassesOrNone(nn.Module):
    """As ``Classes``, with a row of its own for no class, whose number is ``count``."""

    count: int
    width: int

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"] | None = None) -> Float[Array, "B N D"]:
        init = nn.initializers.normal(0.02)
        table = self.param("table", init, (self.count, self.width), jnp.float32)
        none = self.param("none", init, (1, self.width), jnp.float32)
        return jnp.concatenate([table, none])[payload.told]


class Times(nn.Module):
    """Two affine maps of sines and cosines of each entry's time; what adaptive norms are told."""

    width: int

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"] | None = None) -> Float[Array, "B N D"]:
        told = TimeEmbed(self.width, name="time")(Told(payload.time.reshape(-1)))
        return told.reshape(*payload.time.shape, self.width)


class ToldHead(nn.Module):
    """head: behind an adaptive norm that is told the class. norm: partial, like ``AdaNorm`` without a gate."""

    classes: nn.Module
    norm: nn.Module
    head: nn.Module

    def __call__(self, states: Float[Array, "B N D"], payload: Payload) -> Float[Array, "B N V"]:
        return self.head(self.norm(states, self.classes(payload)).states, payload)
