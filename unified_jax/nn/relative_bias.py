"""Relative position bias: a learned number per head for every bucket of distances (T5, arXiv:1910.10683, section 2.1).

Half of the buckets are for keys after the query. Of each half the first half are single distances, and the rest grow
geometrically up to ``furthest``, beyond which one bucket holds all.
"""

import math

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array, Float, Int


class RelativeBias(nn.Module):
    """What to add to the scores of slots: float32 [B H T S], of the distance between sequence indices."""

    num_heads: int
    buckets: int = 32
    furthest: int = 128

    @nn.compact
    def __call__(self, q: Slots, k: Slots) -> Float[Array, "B H T S"]:
        table = self.param("table", nn.initializers.normal(1.0), (self.buckets, self.num_heads), jnp.float32)
        distance = k.pos[:, None, :, 0] - q.pos[:, :, None, 0]
        return table[bucket(distance, buckets=self.buckets, furthest=self.furthest)].transpose(0, 3, 1, 2)


def bucket(distance: Int[Array, "..."], *, buckets: int, furthest: int) -> Int[Array, "..."]:
    """The bucket of each distance, key minus query, from 0."""
    half, single = buckets // 2, buckets // 4
    size = jnp.abs(distance)
    # At least 1, so that the branch that is not taken has a logarithm.
    growth = jnp.log(jnp.maximum(size, 1).astype(jnp.float32) / single) / math.log(furthest / single)
    wide = jnp.minimum(single + (growth * (half - single)).astype(jnp.int32), half - 1)
    return jnp.where(distance > 0, half, 0) + jnp.where(size < single, size, wide)
