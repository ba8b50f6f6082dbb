"""The arithmetic of one tile of attention: part of an online softmax, and its gradients from the saved log-sum-exp.

    s = cap(scale q.k)     p = exp(s - lse)     out = sum_k p v
    ds = p (dout.v - delta) cap'(s)             delta = dout.out - dlse

FlashAttention-2 (arXiv:2307.08691), algorithms 1 and 2. Every function works on one matrix [T S] of float32 scores, so
the same lines serve the plain JAX version under ``vmap`` and the kernels on their references. The cotangent of lse adds
to every score in the share p, which is why it joins delta.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, Bool, Float
from unified_jax.nn.kernels.partial import NOTHING

# Where the running maximum begins: above a masked score, so that exp(masked - maximum) is 0 even in a row that has
# seen nothing yet, and below every true score.
LOWEST = NOTHING / 2


class Running(NamedTuple):
    """The softmax so far.  out: float32 [T C], not normalised.  top, total: [T 1], maximum and sum of exp."""

    out: Array
    top: Array
    total: Array


def dot(a: Float[Array, "T C"], b: Float[Array, "S C"]) -> Float[Array, "T S"]:
    """Products of rows in float32."""
    return jax.lax.dot_general(a, b, (((1,), (1,)), ((), ())), preferred_element_type=jnp.float32)


def product(a: Float[Array, "T S"], b: Float[Array, "S C"]) -> Float[Array, "T C"]:
    """The matrix product in float32, of a rounded to b's type as the matrix units want it."""
    return jnp.dot(a.astype(b.dtype), b, preferred_element_type=jnp.float32)


def score(
    a: Float[Array, "T C"], b: Float[Array, "S C"], *, scale: float, softcap: float | None
) -> Float[Array, "T S"]:
    """Scaled scores, capped to +-softcap by tanh (Gemma 2, arXiv:2408.00118, section 2)."""
    scores = dot(a, b) * scale
    return scores if softcap is None else softcap * jnp.tanh(scores / softcap)


def absorb(
    state: Running, values: Float[Array, "S C"], *, scores: Float[Array, "T S"], seen: Bool[Array, "T S"]
) -> Running:
    """The softmax after one more tile of keys."""
    scores = jnp.where(seen, scores, NOTHING)
    top = jnp.maximum(state.top, jnp.max(scores, -1, keepdims=True))
    weights, decay = jnp.exp(scores - top), jnp.exp(state.top - top)
    total = state.total * decay + jnp.sum(weights, -1, keepdims=True)
    return Running(state.out * decay + product(weights, values), top, total)


def finish(state: Running) -> tuple[Float[Array, "... T C"], Float[Array, "... T W"]]:
    """The normalised output and the log-sum-exp."""
    nothing = state.total == 0
    total = jnp.where(nothing, 1.0, state.total)
    return state.out / total, jnp.where(nothing, NOTHING, state.top + jnp.log(total))


def gradients(
    scores: Float[Array, "T S"],
    products: Float[Array, "T S"],
    *,
    lse: Float[Array, "..."],
    delta: Float[Array, "..."],
    seen: Bool[Array, "T S"],
    softcap: float | None,
) -> tuple[Float[Array, "T S"], Float[Array, "T S"]]:
    """The weights p, and the gradient of the scaled scores before the cap.

    products: dout.v.  lse, delta: of the queries, as a column, or as a row where all matrices are given transposed.
    """
    weights = jnp.where(seen, jnp.exp(scores - lse), 0.0)
    gradient = weights * (products - delta)
    return weights, gradient if softcap is None else gradient * (1.0 - (scores / softcap) ** 2)
