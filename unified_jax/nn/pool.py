"""Pooling: states of a row -> one vector for each text or picture in it, [B T D] -> [B N D]."""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.pictures import of_picture
from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array, DTypeLike, Float, Int
from unified_jax.nn.cross_attention import CrossAttention


class Read(nn.Module):
    """The state of one slot: of a class token, or of the last id of a text.

    norm, project: what it passes on the way out, None for nothing.
    """

    norm: nn.Module | None = None
    project: nn.Module | None = None

    def __call__(self, x: Float[Array, "B T D"], slots: Slots, read: Int[Array, "B N"]) -> Float[Array, "B N F"]:
        y = jnp.take_along_axis(x, read[..., None], 1)
        y = y if self.norm is None else self.norm(y)
        return y if self.project is None else self.project(y)


class AttentionPool(nn.Module):
    """y + mlp(norm(y)) for y = attention of one learned query over the picture (arXiv:2106.04560, appendix A)."""

    norm: nn.Module
    mlp: nn.Module
    num_heads: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], slots: Slots, read: Int[Array, "B N"]) -> Float[Array, "B N D"]:
        width, count = x.shape[-1], read.shape[1]
        query = self.param("query", nn.initializers.normal(width**-0.5), (width,), jnp.float32)
        queries = jnp.broadcast_to(query.astype(self.dtype), (x.shape[0], count, width))
        attention = CrossAttention(self.num_heads, width // self.num_heads, dtype=self.dtype, name="attention")
        y = attention(queries, x, mask=of_picture(slots.doc, count))
        return y + self.mlp(self.norm(y))
