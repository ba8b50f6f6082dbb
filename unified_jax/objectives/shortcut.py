"""Shortcut models: the average velocity over a step is that of its two halves (arXiv:2410.12557, eq. 4 and 5).

With x_s = x_t - (t - s) u(x_t, t, s), and s halfway from t to r,

    u(x_t, t, r) = (u(x_t, t, s) + u(x_s, s, r)) / 2,    u(x_t, t, t) = the velocity e - x
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from unified_jax.core.noise import Rectified, TimeSampler, uniform
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, PRNGKeyArray
from unified_jax.objectives.average import Average
from unified_jax.objectives.noising import noised_at
from unified_jax.objectives.total import Sums
from unified_jax.objectives.units import unit_draw


@dataclasses.dataclass(frozen=True)
class Shortcut:
    """Mean squared error of u, for a network that reads ``until`` beside ``time`` (solver: ``Jump``).

    flow: the share of units that learn the velocity; time: of those. The others learn steps 2^-k that begin at a
    multiple of it, every k < halvings alike; a half of the shortest is crossed with the velocity.
    """

    stream: str
    weight: float = 1.0
    time: TimeSampler = uniform
    halvings: int = 7
    flow: float = 0.75

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Average]:
        """Noises the learned entries; context entries (weight 0) stay clean at time 0."""
        payload = seq.streams[self.stream]
        kinds, flows, lengths, places, noises = jax.random.split(rng, 5)
        step = 2.0 ** -jnp.floor(unit_draw(lengths, payload, uniform) * self.halvings)
        begin = step * (1 + jnp.floor(unit_draw(places, payload, uniform) / step))
        long = (unit_draw(kinds, payload, uniform) >= self.flow) & (payload.weight > 0)
        t = jnp.where(long, begin, unit_draw(flows, payload, self.time))
        made = noised_at(t, seq, stream=self.stream, path=Rectified(), rng=noises)
        return made.seq.put(self.stream, until=jnp.where(long, t - step, t)), Average(made.noise - made.clean)

    def bootstrap(self, predict: Callable[[Interleaved], Array], shown: Interleaved, target: Average) -> Average:
        """Adds the average of the two halves, where a step has any length."""
        payload = shown.streams[self.stream]
        x, t, end = payload.values, payload.time, payload.until
        middle = (t + end) / 2
        shortest = t - end < 3 * 2.0**-self.halvings  # 2 halves, but for rounding
        ask = lambda x, t, until: predict(shown.put(self.stream, values=x, time=t, until=jnp.where(shortest, t, until)))
        first = ask(x, t, middle)
        second = ask(x - (t - middle)[..., None] * first, middle, end)
        value = jnp.where((t > end)[..., None], (first + second) / 2, target.velocity)
        return target.replace(value=jax.lax.stop_gradient(value))

    def loss(self, prediction: Float[Array, "B N P"], target: Average, payload: Payload) -> Sums:
        error = jnp.square(prediction - target.value).mean(-1)
        return Sums((error * payload.weight).sum(), payload.weight.sum())
