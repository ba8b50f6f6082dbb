"""Choosing a token from logits: temperature, top-k, top-p, restricted vocabularies."""

import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, Bool, Float, Int, PRNGKeyArray

NEVER = -1e30


def choose(
    rng: PRNGKeyArray,
    logits: Float[Array, "*B V"],
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    allowed: Bool[Array, "V"] | None = None,
) -> Int[Array, "*B"]:
    """One id for each row. temperature 0 takes the likeliest. ``top_k`` cuts before ``top_p``; both before sampling.

    Raises ValueError for a negative temperature, top_k < 1, or top_p outside (0, 1].
    """
    if temperature < 0:
        raise ValueError(f"temperature must be 0 or more, found {temperature}")
    if allowed is not None:
        logits = jnp.where(allowed, logits, NEVER)
    if temperature == 0:
        return jnp.argmax(logits, -1).astype(jnp.int32)
    logits = logits.astype(jnp.float32) / temperature
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    return jax.random.categorical(rng, logits).astype(jnp.int32)


def keep_top_k(logits: Float[Array, "*B V"], k: int) -> Float[Array, "*B V"]:
    """Exactly the k likeliest stay (arXiv:1805.04833); of equal ones the lowest id."""
    if k < 1:
        raise ValueError(f"top_k must be 1 or more, found {k}")
    if k >= logits.shape[-1]:
        return logits
    # Ranks rather than a threshold, so that ties do not let more than k through.
    order = jnp.argsort(-logits, axis=-1, stable=True)
    return jnp.where(jnp.argsort(order, axis=-1) < k, logits, NEVER)


def keep_top_p(logits: Float[Array, "*B V"], p: float) -> Float[Array, "*B V"]:
    """The smallest set of likeliest tokens whose probability reaches p stays (arXiv:1904.09751)."""
    if not 0 < p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], found {p}")
    order = jnp.argsort(-logits, axis=-1, stable=True)
    probs = jnp.take_along_axis(jax.nn.softmax(logits, -1), order, -1)
    before = jnp.cumsum(probs, -1) - probs  # a token stays while the likelier ones have not reached p
    keep = jnp.take_along_axis(before < p, jnp.argsort(order, axis=-1), -1)
    return jnp.where(keep, logits, NEVER)
