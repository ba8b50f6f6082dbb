"""TokenPacker: a coarse picture whose every place reads the block of fine places it stands for (arXiv:2407.02392)."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.connectors.grid import Grid, in_blocks
from unified_jax.nn.connectors.pooling import resize
from unified_jax.nn.connectors.projection import Projection
from unified_jax.nn.cross_attention import CrossAttention
from unified_jax.nn.dense import Dense


class TokenPacker(nn.Module):
    """then(attention(norm q(coarse x), of its block of norm k(x), values norm v(x))): N = T / factor**2.

    width: of the attention; q is a linear map, k and v have a hidden layer as wide. norm: a partial.
    """

    factor: int
    width: int
    num_heads: int
    norm: Callable[..., nn.Module]
    then: nn.Module
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], *, grid: Grid) -> Float[Array, "B N F"]:
        smaller = tuple(side // self.factor for side in grid)
        fine = lambda name: self.norm(name=f"{name}_norm")(
            Projection(self.width, hidden=(self.width,), dtype=self.dtype, name=name)(x, grid=grid)
        )
        k, v = (in_blocks(fine(name), grid, self.factor) for name in ("k", "v"))
        coarse = Dense(self.width, dtype=self.dtype, name="q")(resize(x, grid, smaller))
        q = self.norm(name="q_norm")(coarse)
        # Every block is a sequence of its own.
        alone = lambda y: y.reshape(-1, *y.shape[2:])
        attention = CrossAttention(self.num_heads, self.width // self.num_heads, dtype=self.dtype, name="attention")
        y = attention(alone(q[:, :, None]), alone(k), values=alone(v))
        return self.then(y.reshape(q.shape), grid=smaller)
