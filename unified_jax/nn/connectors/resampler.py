"""Resampler: a square of learned queries, each at a place of the picture, in one layer of cross-attention
(Qwen-VL, arXiv:2308.12966, 2.1).
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.connectors.grid import Grid
from unified_jax.nn.cross_attention import CrossAttention
from unified_jax.nn.dense import Dense
from unified_jax.nn.places import sincos_places
from unified_jax.nn.resample import cubic, sample


class Resampler(nn.Module):
    """out(norm(attention(norm q + place, of norm(x W) + place, values norm(x W)))): [B T D] -> [B side**2 features].

    side: of the square of queries. Places are sines and cosines over that square, resized to the picture's grid.
    """

    side: int
    features: int
    num_heads: int
    norm: Callable[..., nn.Module]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], *, grid: Grid) -> Float[Array, "B N F"]:
        width = self.features
        x = self.norm(name="context_norm")(Dense(width, dtype=self.dtype, name="in")(x))
        along = np.arange(float(self.side))
        table = sincos_places(along, along, width)
        at = np.stack(np.indices(grid), -1).reshape(1, -1, 2)
        places = sample(table, at, np.broadcast_to(np.asarray(grid), at.shape), weights=cubic).astype(x.dtype)
        queries = self.param("queries", nn.initializers.normal(0.02), (self.side**2, width), jnp.float32)
        queries = self.norm(name="query_norm")(queries) + table.reshape(-1, width)
        queries = jnp.broadcast_to(queries.astype(x.dtype), (x.shape[0], *queries.shape))
        attention = CrossAttention(self.num_heads, width // self.num_heads, dtype=self.dtype, name="attention")
        y = self.norm(name="norm")(attention(queries, x + places, values=x))
        return Dense(width, dtype=self.dtype, name="out")(y)
