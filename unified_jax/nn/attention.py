"""Attention over visible slots: the reference every kernel must match.

    attend(q, k, v)_t = sum_s softmax_s(q_t . k_s / sqrt(C)) v_s   over the slots s visible to t

Written in [B K T C] order: XLA on CPU takes the gradients of that order 1.7x faster than those of [B T K C], and on
TPU it is the order of the flash kernels.
"""

import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, Bool, Float

# Finite, so that a row that sees nothing (an empty slot) gives a finite average instead of NaN.
MASKED = -1e30


def attend(
    q: Float[Array, "B T H C"],
    k: Float[Array, "B S K C"],
    v: Float[Array, "B S K C"],
    *,
    mask: Bool[Array, "B T R"],
    past: tuple[Array, Array] | None = None,
) -> Float[Array, "B T H C"]:
    """Grouped-query attention (arXiv:2305.13245); softmax in float32, result in q's dtype.

    past: cached keys and values, [B K S' C] each, read in place; ``mask`` then covers S' + S key slots, the cached
      ones first. Rows with no visible slot return a meaningless finite value.
    """
    batch, length, heads, channels = q.shape
    groups = k.shape[2]
    if heads % groups:
        raise ValueError(f"num_heads {heads} must be a multiple of num_kv_heads {groups}")
    q = q.reshape(batch, length, groups, heads // groups, channels).transpose(0, 2, 3, 1, 4)
    q = q.reshape(batch, groups, -1, channels) * channels**-0.5
    keys, values = [by_head(k)], [by_head(v)]
    if past is not None:
        keys, values = [past[0].astype(k.dtype), *keys], [past[1].astype(v.dtype), *values]
    scores = [jnp.einsum("BKTC,BKSC->BKTS", q, x, preferred_element_type=jnp.float32) for x in keys]
    scores = scores[0] if len(scores) == 1 else jnp.concatenate(scores, -1)
    scores = scores.reshape(batch, groups, -1, length, scores.shape[-1])
    weights = jax.nn.softmax(jnp.where(mask[:, None, None], scores, MASKED), -1).astype(q.dtype)
    weights = weights.reshape(batch, groups, -1, weights.shape[-1])
    start, out = 0, 0.0
    for x in values:
        part = jax.lax.slice_in_dim(weights, start, start + x.shape[2], axis=3)
        out, start = out + jnp.einsum("BKTS,BKSC->BKTC", part, x), start + x.shape[2]
    out = out.reshape(batch, groups, -1, length, channels).transpose(0, 3, 1, 2, 4)
    return out.reshape(batch, length, heads, channels)


def by_head(x: Float[Array, "B T K C"]) -> Float[Array, "B K T C"]:
    """The order attention works in and the cache is stored in."""
    return x.transpose(0, 2, 1, 3)
