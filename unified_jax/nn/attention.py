"""Attention over visible slots: the reference every kernel must match.

    attend(q, k, v)_t = sum_s softmax_s(cap(scale * q_t . k_s)) v_s   over the slots s visible to t

A ``Block`` takes any function with the signature of ``attend_visible``: which of them is a choice of speed and memory.

Written in [B K T C] order: XLA on CPU takes the gradients of that order 1.7x faster than those of [B T K C], and on
TPU it is the order of the flash kernels.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from unified_jax.core.mask import visible
from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array, Bool, Float, Int
from unified_jax.nn.kernels.partial import Partial, merge

# Finite, so that a row that sees nothing (an empty slot) gives a finite average instead of NaN.
MASKED = -1e30

Attention = Callable[..., Array]
KeysValues = tuple[Array, Array]  # float [B K S C] each, as the cache holds them


def attend_visible(
    q: Float[Array, "B T H C"],
    k: Float[Array, "B T K C"],
    v: Float[Array, "B T K C"],
    *,
    slots: Slots,
    past: KeysValues | None = None,
    before: Slots | None = None,
    window: Int[Array, ""] | int | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    bias: Float[Array, "B H T S"] | None = None,
) -> Float[Array, "B T H C"]:
    """``attend`` under the one mask rule, the mask written out in full: memory grows as T * S.

    slots: of the queries and of their own keys. past, before: cached keys and values, and their slots.
    window: the layer's sliding window (``core.mask``); None for none.
    """
    mask = visible(slots, slots, window)
    if before is not None:
        mask = jnp.concatenate([visible(slots, before, window), mask], -1)
    return attend(q, k, v, mask=mask, past=past, scale=scale, softcap=softcap, bias=bias)


def in_parts(kernel: Callable[..., Partial]) -> Attention:
    """The ``Attention`` of a kernel (``nn/kernels``) that sees one set of keys; cached and own ones are joined."""

    def attend(
        q: Float[Array, "B T H C"],
        k: Float[Array, "B T K C"],
        v: Float[Array, "B T K C"],
        *,
        slots: Slots,
        past: KeysValues | None = None,
        before: Slots | None = None,
        window: Int[Array, ""] | int | None = None,
        scale: float | None = None,
        softcap: float | None = None,
    ) -> Float[Array, "B T H C"]:
        scale = q.shape[-1] ** -0.5 if scale is None else scale
        run = partial(kernel, q, query=slots, window=window, scale=scale, softcap=softcap)
        part = run(k=k, v=v, key=slots)
        if past is not None:
            cached_k, cached_v = (by_head(x).astype(k.dtype) for x in past)
            part = merge(run(k=cached_k, v=cached_v, key=before), part)
        return part.out

    return attend


def attend(
    q: Float[Array, "B T H C"],
    k: Float[Array, "B S K C"],
    v: Float[Array, "B S K C"],
    *,
    mask: Bool[Array, "B T R"],
    past: KeysValues | None = None,
    scale: float | None = None,
    softcap: float | None = None,
    bias: Float[Array, "B H T R"] | None = None,
) -> Float[Array, "B T H C"]:
    """Grouped-query attention (arXiv:2305.13245); softmax in float32, result in q's dtype.

    past: cached keys and values, [B K S' C] each, read in place; ``mask`` then covers S' + S key slots, the cached
      ones first. scale: what scores are multiplied by, 1 / sqrt(C) unless given. softcap: scores are bent to stay
      within it, softcap * tanh(score / softcap) (Gemma 2, arXiv:2408.00118, section 2.3). bias: added to scores last.
    Rows with no visible slot return a meaningless finite value. Raises ValueError for heads that do not divide.
    """
    batch, length, heads, channels = q.shape
    groups = k.shape[2]
    if heads % groups:
        raise ValueError(f"num_heads {heads} must be a multiple of num_kv_heads {groups}")
    q = q.reshape(batch, length, groups, heads // groups, channels).transpose(0, 2, 3, 1, 4)
    q = q.reshape(batch, groups, -1, channels) * (channels**-0.5 if scale is None else scale)
    keys, values = [by_head(k)], [by_head(v)]
    if past is not None:
        keys, values = [past[0].astype(k.dtype), *keys], [past[1].astype(v.dtype), *values]
    scores = [jnp.einsum("BKTC,BKSC->BKTS", q, x, preferred_element_type=jnp.float32) for x in keys]
    scores = scores[0] if len(scores) == 1 else jnp.concatenate(scores, -1)
    scores = scores.reshape(batch, groups, -1, length, scores.shape[-1])
    if softcap is not None:
        scores = softcap * jnp.tanh(scores / softcap)
    if bias is not None:
        scores = scores + bias.astype(jnp.float32).reshape(-1, *scores.shape[1:])
    weights = jax.nn.softmax(jnp.where(mask[:, None, None], scores, MASKED), -1).astype(q.dtype)
    weights = weights.reshape(batch, groups, -1, weights.shape[-1])
    start, out = 0, 0.0
    for x in values:
        part = jax.lax.slice_in_dim(weights, start, start + x.shape[2], axis=3)
        out, start = out + jnp.einsum("BKTS,BKSC->BKTC", part, x), start + x.shape[2]
    out = out.reshape(batch, groups, -1, length, channels).transpose(0, 3, 1, 2, 4)
    return out.reshape(batch, length, heads, channels)


def by_head(x: Float[Array, "B T K C"]) -> Float[Array, "B K T C"]:
    """The order attention works in and the cache is stored in; its own inverse."""
    return x.transpose(0, 2, 1, 3)
