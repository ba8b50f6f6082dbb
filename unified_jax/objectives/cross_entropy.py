"""Cross-entropy of a stream's learned entries, in float32 nats."""

import optax

from unified_jax.core.types import Array, Float, Int
from unified_jax.objectives.total import Sums


def cross_entropy(logits: Float[Array, "B N V"], ids: Int[Array, "B N"], *, weight: Float[Array, "B N"]) -> Sums:
    """-log p(ids), summed with its weights."""
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, ids)
    return Sums((loss * weight).sum(), weight.sum())
