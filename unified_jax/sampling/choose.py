"""Choosing a token from logits: temperature, top-k, top-p, restricted vocabularies.

Every option may be one number for all rows or an array with one for each, so that requests with different settings
share a compiled program.
"""

import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, Bool, Float, Int, Key

NEVER = -1e30
ALL = 2**31 - 1  # a top_k that keeps every id


def check(*, temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raises ValueError for a negative temperature, top_k < 1, or top_p outside (0, 1]."""
    if temperature < 0:
        raise ValueError(f"temperature must be 0 or more, found {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be 1 or more, found {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], found {top_p}")


def choose(
    rng: Key[Array, "*#B"],
    logits: Float[Array, "*B V"],
    *,
    temperature: Float[Array, "*#B"] | float = 1.0,
    top_k: Int[Array, "*#B"] | int | None = None,
    top_p: Float[Array, "*#B"] | float | None = None,
    allowed: Bool[Array, "*#B V"] | None = None,
) -> Int[Array, "*B"]:
    """One id for each row. temperature 0 takes the likeliest. ``top_k`` cuts before ``top_p``; both before sampling.

    rng: one key for all rows, or one for each, whose draw then depends on no other row. Raises ValueError for numbers
    that ``check`` refuses; arrays are trusted.
    """
    numbers = dict(temperature=temperature, top_k=top_k, top_p=top_p)
    defaults = dict(temperature=1.0, top_k=None, top_p=None)
    check(**{name: defaults[name] if isinstance(x, jax.Array) else x for name, x in numbers.items()})
    logits = logits.astype(jnp.float32)
    if allowed is not None:
        logits = jnp.where(allowed, logits, NEVER)
    return _choose(rng, logits, temperature, ALL if top_k is None else top_k, 1.0 if top_p is None else top_p)


@jax.jit
def _choose(rng, logits, temperature, top_k, top_p):
    draw = jax.random.categorical if rng.ndim == 0 else jax.vmap(jax.random.categorical)
    sample = lambda: draw(rng, odds(logits, temperature=temperature, top_k=top_k, top_p=top_p)).astype(jnp.int32)
    return jax.lax.cond(jnp.any(temperature > 0), sample, lambda: jnp.argmax(logits, -1).astype(jnp.int32))


def odds(
    logits: Float[Array, "*B V"],
    *,
    temperature: Float[Array, "*#B"] | float,
    top_k: Int[Array, "*#B"] | int,
    top_p: Float[Array, "*#B"] | float,
) -> Float[Array, "*B V"]:
    """The logits that an id is drawn from: divided by the temperature, and without the ids that ``top_k`` and then
    ``top_p`` leave out; at temperature 0 only the likeliest id is possible.
    """
    drawn = jnp.asarray(temperature > 0)[..., None]
    warm = logits / jnp.where(drawn, jnp.asarray(temperature)[..., None], 1)
    # Sorting a vocabulary costs more than a small model; it is done only in steps where some row asks for it.
    warm = jax.lax.cond(jnp.any(top_k < logits.shape[-1]), lambda x: keep_top_k(x, top_k), lambda x: x, warm)
    warm = jax.lax.cond(jnp.any(top_p < 1), lambda x: keep_top_p(x, top_p), lambda x: x, warm)
    likeliest = jnp.arange(logits.shape[-1]) == jnp.argmax(logits, -1, keepdims=True)
    return jnp.where(drawn | likeliest, warm, NEVER)


def keep_top_k(logits: Float[Array, "*B V"], k: Int[Array, "*#B"] | int) -> Float[Array, "*B V"]:
    """Exactly the k likeliest stay (arXiv:1805.04833); of equal ones the lowest id."""
    # Ranks rather than a threshold, so that ties do not let more than k through.
    order = jnp.argsort(-logits, axis=-1, stable=True)
    return jnp.where(jnp.argsort(order, axis=-1) < jnp.asarray(k)[..., None], logits, NEVER)


def keep_top_p(logits: Float[Array, "*B V"], p: Float[Array, "*#B"] | float) -> Float[Array, "*B V"]:
    """The smallest set of likeliest tokens whose probability reaches p stays (arXiv:1904.09751)."""
    order = jnp.argsort(-logits, axis=-1, stable=True)
    probs = jnp.take_along_axis(jax.nn.softmax(logits, -1), order, -1)
    before = jnp.cumsum(probs, -1) - probs  # a token stays while the likelier ones have not reached p
    keep = jnp.take_along_axis(before < jnp.asarray(p)[..., None], jnp.argsort(order, axis=-1), -1)
    return jnp.where(keep, logits, NEVER)
