"""Projection: every place by itself, an affine map or several (LLaVA, arXiv:2304.08485, 4.1; 1.5: arXiv:2310.03744), or
gated linear maps (Idefics2, arXiv:2405.02246, 3.2).
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.connectors.grid import Grid
from unified_jax.nn.dense import Dense
from unified_jax.nn.mlp import Activation, gelu


class Projection(nn.Module):
    """hidden: widths between input and ``features``, () for one affine map. norm: of the input, a partial."""

    features: int
    hidden: tuple[int, ...] = ()
    activation: Activation = gelu
    norm: Callable[..., nn.Module] | None = None
    use_bias: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], *, grid: Grid) -> Float[Array, "B T F"]:
        if self.norm is not None:
            x = self.norm(name="norm")(x)
        for i, width in enumerate(self.hidden):
            x = self.activation(Dense(width, use_bias=self.use_bias, dtype=self.dtype, name=f"layer_{i}")(x))
        return Dense(self.features, use_bias=self.use_bias, dtype=self.dtype, name="out")(x)


class GatedProjection(nn.Module):
    """out(activation(gate(x)) * up(x)), through ``hidden`` channels, to ``features``."""

    features: int
    hidden: int
    activation: Activation
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], *, grid: Grid) -> Float[Array, "B T F"]:
        gate, up = (Dense(self.hidden, dtype=self.dtype, name=name)(x) for name in ("gate", "up"))
        return Dense(self.features, dtype=self.dtype, name="out")(self.activation(gate) * up)
