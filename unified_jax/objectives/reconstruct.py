"""Reconstruction: how far decoded entries are from the ones that went in, and what the bottleneck charges."""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.reconstruction import Reconstruction
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, PRNGKeyArray
from unified_jax.objectives.total import Sums


@dataclasses.dataclass(frozen=True)
class Reconstruct:
    """mean_P (x' - x)^2 + absolute * mean_P |x' - x| + penalty, averaged over the stream's learned entries.

    The square settles colours; the absolute value keeps edges from being averaged grey. The other terms of VQGAN
    (arXiv:2012.09841, eq. 6), which need a second network, are ``judged.py`` and ``adversarial.py``.
    """

    stream: str
    weight: float = 1.0
    absolute: float = 1.0

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Float[Array, "B N P"]]:
        """Nothing to corrupt: the bottleneck is in the model."""
        return seq, seq.streams[self.stream].values

    def loss(self, prediction: Reconstruction, target: Float[Array, "B N P"], payload: Payload) -> Sums:
        error = prediction.values - target
        loss = (jnp.square(error) + self.absolute * jnp.abs(error)).mean(-1) + prediction.penalty
        return Sums((loss * payload.weight).sum(), payload.weight.sum())
