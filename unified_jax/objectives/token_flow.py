"""Per-entry flow: each entry is denoised by itself, given the state it is read from (MAR, arXiv:2406.11838, eq. 3)."""

import dataclasses

import jax
import jax.numpy as jnp

from unified_jax.core.noise import Rectified, TimeSampler, uniform
from unified_jax.core.sequence import Draft, Interleaved, Payload
from unified_jax.core.types import Array, Float, PRNGKeyArray
from unified_jax.objectives.total import Sums


@dataclasses.dataclass(frozen=True)
class TokenFlow:
    """The error of ``Flow``, where what is noised is a draft that only the head sees; the sequence stays clean.

    path, time: as in ``Flow``, but every entry has a time of its own.
    """

    stream: str
    weight: float = 1.0
    path: Rectified = Rectified()
    time: TimeSampler = uniform

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Float[Array, "B N P"]]:
        """Gives the stream its draft; the values stay as they are."""
        payload = seq.streams[self.stream]
        time_rng, noise_rng = jax.random.split(rng)
        time = self.time(time_rng, payload.slot.shape)
        noise = jax.random.normal(noise_rng, payload.values.shape)
        draft = Draft(self.path.corrupt(payload.values, noise, time), time)
        return seq.put(self.stream, draft=draft), self.path.target(payload.values, noise, time)

    def loss(self, prediction: Float[Array, "B N P"], target: Float[Array, "B N P"], payload: Payload) -> Sums:
        error = jnp.square(prediction - target).mean(-1) * self.path.weight(payload.draft.time)
        return Sums((error * payload.weight).sum(), payload.weight.sum())
