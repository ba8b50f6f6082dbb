"""MeanFlow: the average velocity from its own derivative along the path (arXiv:2505.13447, eq. 6 and 10).

u(x_t, t, r) = v - (t - r) d/dt u,    d/dt u = (v d/dx + d/dt) u, one Jacobian-vector product,    v = e - x
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from unified_jax.core.noise import Rectified, TimeSampler, logit_normal, uniform
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, PRNGKeyArray
from unified_jax.objectives.average import Average
from unified_jax.objectives.noising import noised_at
from unified_jax.objectives.total import Sums
from unified_jax.objectives.units import unit_draw


@dataclasses.dataclass(frozen=True)
class MeanFlow:
    """Adaptively weighed squared error of u, for a network that reads ``until`` beside ``time`` (solver: ``Jump``).

    time: of both ends; the later is t. flow: the share of units with r = t, which learn the velocity. An error counts
    1 / (its square + least)^power, which has no gradient (section 4.3 and table 1).
    """

    stream: str
    weight: float = 1.0
    time: TimeSampler = logit_normal
    flow: float = 0.75
    power: float = 1.0
    least: float = 1e-3

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Average]:
        """Noises the learned entries; context entries (weight 0) stay clean at time 0."""
        payload = seq.streams[self.stream]
        kinds, one, other, noises = jax.random.split(rng, 4)
        first, second = (unit_draw(key, payload, self.time) for key in (one, other))
        t = jnp.maximum(first, second)
        until = jnp.where(unit_draw(kinds, payload, uniform) < self.flow, t, jnp.minimum(first, second))
        made = noised_at(t, seq, stream=self.stream, path=Rectified(), rng=noises)
        return made.seq.put(self.stream, until=until), Average(made.noise - made.clean)

    def bootstrap(self, predict: Callable[[Interleaved], Array], shown: Interleaved, target: Average) -> Average:
        """Adds v - (t - r) d/dt u; ``until`` stays, and so does context."""
        payload = shown.streams[self.stream]
        moves = (payload.weight > 0).astype(payload.time.dtype)
        along = lambda x, t: predict(shown.put(self.stream, values=x, time=t))
        _, change = jax.jvp(along, (payload.values, payload.time), (moves[..., None] * target.velocity, moves))
        value = target.velocity - (payload.time - payload.until)[..., None] * change
        return target.replace(value=jax.lax.stop_gradient(value))

    def loss(self, prediction: Float[Array, "B N P"], target: Average, payload: Payload) -> Sums:
        square = jnp.square(prediction - target.value).sum(-1)
        error = square / jax.lax.stop_gradient(square + self.least) ** self.power
        return Sums((error * payload.weight).sum(), payload.weight.sum())
