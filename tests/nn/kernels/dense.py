"""Attention written out over [T, S]: the independent answer for every implementation."""

import jax.numpy as jnp

from unified_jax.nn.kernels.partial import Partial


def attend(q, k, v, *, query, key, scale, softcap=None, window=None):
    group = q.shape[2] // k.shape[2]
    k, v = jnp.repeat(k, group, 2), jnp.repeat(v, group, 2)
    scores = jnp.einsum("bthc,bshc->bhts", q, k) * scale
    if softcap is not None:
        scores = softcap * jnp.tanh(scores / softcap)
    seen = visible(query, key, window=window)[:, None]
    some = seen.any(-1, keepdims=True)
    top = jnp.where(some, jnp.max(jnp.where(seen, scores, -1e9), -1, keepdims=True), 0.0)
    weights = jnp.where(seen, jnp.exp(jnp.where(seen, scores, 0.0) - top), 0.0)
    total = jnp.where(some, weights.sum(-1, keepdims=True), 1.0)
    lse = jnp.where(some, top + jnp.log(total), -1e30)[..., 0]
    return Partial(jnp.einsum("bhts,bshc->bthc", weights / total, v), lse.transpose(0, 2, 1))


def visible(query, key, *, window=None):
    """The rule and the window in the words of their definition, not in the library's."""
    pair = lambda q, k: (q[:, :, None], k[:, None, :])
    (doc_q, doc_k), (block_q, block_k) = pair(query.doc, key.doc), pair(query.block, key.block)
    seen = (doc_q == doc_k) & (doc_k > 0) & (block_k <= block_q)
    seen &= (block_k == block_q) | ~key.private[:, None, :]
    if window is not None:
        index_q, index_k = pair(query.pos[..., 0], key.pos[..., 0])
        seen &= (block_k == block_q) | (abs(index_q - index_k) < window)
    return seen
