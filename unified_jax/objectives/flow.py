"""Flow matching: every learned unit is moved to a random time of the path, and its velocity is regressed."""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.noise import Rectified, TimeSampler, uniform
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, PRNGKeyArray
from unified_jax.objectives.noising import noised
from unified_jax.objectives.total import Sums


@dataclasses.dataclass(frozen=True)
class Flow:
    """Mean squared error of the velocity (arXiv:2210.02747, eq. 21), whatever the network's output means.

    path: the noise path, shared with the sampler. time: one draw for each unit (span) of a row.
    """

    stream: str
    weight: float = 1.0
    path: Rectified = Rectified()
    time: TimeSampler = uniform

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Float[Array, "B N P"]]:
        """Noises the learned entries; context entries (weight 0) stay clean at time 0."""
        made = noised(rng, seq, stream=self.stream, path=self.path, time=self.time)
        return made.seq, self.path.target(made.clean, made.noise, made.seq.streams[self.stream].time)

    def loss(self, prediction: Float[Array, "B N P"], target: Float[Array, "B N P"], payload: Payload) -> Sums:
        error = jnp.square(prediction - target).mean(-1) * self.path.weight(payload.time)
        return Sums((error * payload.weight).sum(), payload.weight.sum())
