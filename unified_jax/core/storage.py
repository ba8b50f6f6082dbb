"""Storage: how a cache keeps keys and values between steps.

A storage is a pair of functions on a pytree whose leaves begin with [L B K S]: ``encode`` when slots are committed,
``decode`` when a layer reads its part ([B K S ...], without L). What attends never knows which one is used.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike


@dataclasses.dataclass(frozen=True)
class Plain:
    """As they come, or rounded to ``dtype`` (bfloat16 halves a float32 cache)."""

    dtype: DTypeLike | None = None

    def encode(self, kv: tuple[Array, ...]) -> Any:
        return kv if self.dtype is None else tuple(x.astype(self.dtype) for x in kv)

    def decode(self, stored: Any) -> tuple[Array, Array]:
        return stored


@dataclasses.dataclass(frozen=True)
class Int8:
    """Eight-bit integers with one float32 scale for each slot and head: the largest magnitude becomes 127."""

    def encode(self, kv: tuple[Array, ...]) -> Any:
        return jax.tree.map(_quantise, kv)

    def decode(self, stored: Any) -> tuple[Array, Array]:
        keys, values = (codes * scale for codes, scale in stored)
        return keys, values


def _quantise(x: Array) -> tuple[Array, Array]:
    scale = jnp.max(jnp.abs(x.astype(jnp.float32)), -1, keepdims=True) / 127
    # A slot of zeros has scale 0; any divisor gives its codes, which are 0.
    codes = jnp.round(x / jnp.where(scale > 0, scale, 1))
    return codes.astype(jnp.int8), scale


Storage = Plain | Int8
