"""Regression of embeddings: each entry is predicted as it is, from its predecessor (Emu2, arXiv:2312.13286, 2.2)."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, PRNGKeyArray
from unified_jax.objectives.total import Sums


def squared(prediction: Float[Array, "*n P"], target: Float[Array, "*n P"]) -> Float[Array, "*n"]:
    """Mean squared error."""
    return jnp.square(prediction - target).mean(-1)


def cosine(prediction: Float[Array, "*n P"], target: Float[Array, "*n P"]) -> Float[Array, "*n"]:
    """1 - cosine of the angle between the two."""
    norm = lambda x: jnp.sqrt(jnp.square(x).sum(-1) + 1e-12)
    return 1 - (prediction * target).sum(-1) / (norm(prediction) * norm(target))


@dataclasses.dataclass(frozen=True)
class Regress:
    """distance: (prediction, target) [B N P] -> [B N], ``squared`` or ``cosine``."""

    stream: str
    weight: float = 1.0
    distance: Callable[[Array, Array], Array] = squared

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Float[Array, "B N P"]]:
        """Nothing to corrupt: what is predicted from where is in the data."""
        return seq, seq.streams[self.stream].values

    def loss(self, prediction: Float[Array, "B N P"], target: Float[Array, "B N P"], payload: Payload) -> Sums:
        return Sums((self.distance(prediction, target) * payload.weight).sum(), payload.weight.sum())
