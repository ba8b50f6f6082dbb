"""Cross-attention: queries of one sequence attend to the keys of another, of another width if need be."""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.types import Array, Bool, DTypeLike, Float
from unified_jax.nn.attention import attend
from unified_jax.nn.dense import Dense
from unified_jax.nn.full_attention import attend_all


class CrossAttention(nn.Module):
    """o(attend(q(x), k(context), v(context))) (arXiv:1706.03762, 3.2.3)."""

    num_heads: int
    head_dim: int
    num_kv_heads: int | None = None
    qkv_bias: bool = True
    out_bias: bool = True
    features: int | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B T D"],
        context: Float[Array, "B S E"],
        *,
        values: Float[Array, "B S F"] | None = None,
        mask: Bool[Array, "B T S"] | None = None,
    ) -> Float[Array, "B T O"]:
        """mask: which of the context each query may see, all unless given. values: in the context's place for v."""
        kv_heads = self.num_kv_heads or self.num_heads
        project = lambda name, heads, y: Dense(
            (heads, self.head_dim), use_bias=self.qkv_bias, dtype=self.dtype, name=name
        )(y)
        values = context if values is None else values
        q, k, v = project("q", self.num_heads, x), project("k", kv_heads, context), project("v", kv_heads, values)
        features = self.features or x.shape[-1]
        out = Dense(features, axes=2, use_bias=self.out_bias, dtype=self.dtype, name="o")
        return out(attend_all(q, k, v) if mask is None else attend(q, k, v, mask=mask))
