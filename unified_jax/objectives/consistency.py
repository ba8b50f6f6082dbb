"""Consistency: the data estimated at one time of a trajectory equals that estimated a step nearer the data.

    d(f(x_t, t), stopgrad f(x_s, s)),    f(x_t, t) = the path's estimate of the data,    f(x, 0) = x

Training: x_s has the data and noise of x_t (arXiv:2303.01469, eq. 10). Distillation: x_s is a teacher's step from x_t
(eq. 7). The same weights on both sides, and the pseudo-Huber distance, are of arXiv:2310.14189, sections 3.2 and 3.3.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.noise import Path, TimeSampler, VariancePreserving, over
from unified_jax.core.noise.prediction import CLEAN, NOISE, convert
from unified_jax.core.noise.times import level
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, Leaf, PRNGKeyArray
from unified_jax.objectives.noising import noised
from unified_jax.objectives.total import Sums

Predict = Callable[[Interleaved], Array]


@struct.dataclass
class Pair:
    """The data and noise [B N P] of a place on the path; ``estimate``: the data as estimated a step nearer to it."""

    clean: Leaf
    noise: Leaf
    estimate: Leaf = None


@dataclasses.dataclass(frozen=True)
class Consistency:
    """Pseudo-Huber distance sqrt(|f - f'|^2 + huber^2) - huber of the two estimates.

    path: its prediction must leave x alone at time 0, as noise, v, velocity and EDM's do. steps: of the trajectory,
      even in time (on ``Edm`` these are Karras's levels); s = t - 1 / steps.
    teacher: a trained network, from a batch to its output of the stream, whose DDIM step leads from x_t to x_s; None
      takes x_s from the data.
    """

    stream: str
    weight: float = 1.0
    path: Path = VariancePreserving()
    time: TimeSampler = level
    steps: int = 50
    huber: float = 0.03
    teacher: Predict | None = None

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Pair]:
        """Noises the learned entries; context entries (weight 0) stay clean at time 0."""
        made = noised(rng, seq, stream=self.stream, path=self.path, time=self.time)
        return made.seq, Pair(made.clean, made.noise)

    def bootstrap(self, predict: Predict, shown: Interleaved, target: Pair) -> Pair:
        """Adds the model's own estimate at x_s."""
        payload = shown.streams[self.stream]
        s = jnp.maximum(payload.time - 1 / self.steps, 0.0)
        source = target if self.teacher is None else self._parts(self.teacher(shown), payload)
        x_s = self.path.corrupt(source.clean, source.noise, s)
        nearer = shown.put(self.stream, values=x_s, time=s)
        estimate = self._parts(predict(nearer), nearer.streams[self.stream]).clean
        # At time 0 there is nothing to estimate.
        estimate = jnp.where(over(s, x_s) > 0, estimate, x_s)
        return target.replace(estimate=jax.lax.stop_gradient(estimate))

    def loss(self, prediction: Float[Array, "B N P"], target: Pair, payload: Payload) -> Sums:
        gap = jnp.square(self._parts(prediction, payload).clean - target.estimate).sum(-1)
        error = jnp.sqrt(gap + self.huber**2) - self.huber
        return Sums((error * payload.weight).sum(), payload.weight.sum())

    def _parts(self, output: Float[Array, "B N P"], payload: Payload) -> Pair:
        """Data and noise as an output estimates them."""
        # Context has no estimate; a time between the ends keeps what is not used finite.
        point = self.path.at(jnp.where(payload.weight > 0, payload.time, 0.5))
        read = lambda to: convert(output, payload.values, point=point, source=self.path.output, to=to)
        return Pair(read(CLEAN), read(NOISE))
