"""Flow matching: every learned unit is moved to a random time of the path, and its velocity is regressed."""

import dataclasses

import jax
import jax.numpy as jnp

from unified_jax.core.noise import Rectified, TimeSampler, uniform
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, PRNGKeyArray
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
        payload = seq.streams[self.stream]
        time_rng, noise_rng = jax.random.split(rng)
        # A row has at most as many units as entries, so a draw for each entry index covers every unit.
        time = jnp.take_along_axis(self.time(time_rng, payload.slot.shape), payload.unit, 1)
        time = jnp.where(payload.weight > 0, time, 0.0)
        noise = jax.random.normal(noise_rng, payload.values.shape)
        x_t = self.path.corrupt(payload.values, noise, time)
        return seq.put(self.stream, values=x_t, time=time), self.path.target(payload.values, noise)

    def loss(self, prediction: Float[Array, "B N P"], target: Float[Array, "B N P"], payload: Payload) -> Sums:
        error = jnp.square(prediction - target).mean(-1) * self.path.weight(payload.time)
        return Sums((error * payload.weight).sum(), payload.weight.sum())
