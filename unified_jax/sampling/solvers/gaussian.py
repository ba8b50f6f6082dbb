"""Samplers whose every step draws from a Gaussian, so that the probability of what was drawn is known exactly.

Reinforcement learning needs it (DDPO, arXiv:2305.13301, section 4.3; Flow-GRPO, arXiv:2505.05470, section 4.2): the
sum of the log-probabilities of its steps is the log-probability of a trajectory.
"""

import abc
import math

import jax.numpy as jnp
from flax import struct

from unified_jax.core.noise.point import Point, over
from unified_jax.core.types import Array, Float, Leaf
from unified_jax.sampling.solvers.solve import Denoiser, Estimate, Interval, State


@struct.dataclass
class Gaussian:
    """mean: like x. std: of x's first axes, or like x."""

    mean: Leaf
    std: Leaf

    def draw(self, noise: Float[Array, "..."] | None) -> Array:
        """mean + std noise; without noise, the mean."""
        return self.mean if noise is None else self.mean + over(self.std, self.mean) * noise

    def log_prob(self, x: Float[Array, "B ..."]) -> Float[Array, "B"]:
        """Summed over all axes but the first, in nats; meaningless where std is 0."""
        std = jnp.broadcast_to(over(self.std, x), x.shape)
        terms = -0.5 * jnp.square((x - self.mean) / std) - jnp.log(std) - 0.5 * math.log(2 * math.pi)
        return terms.sum(range(1, x.ndim))


class GaussianSolver(abc.ABC):
    """A solver by its ``transition``. A state remembers the log-probability [B] of the step that led to it."""

    @abc.abstractmethod
    def transition(self, estimate: Estimate, interval: Interval) -> Gaussian:
        """The law of x at the end of the interval."""

    def init(self, x: Float[Array, "B ..."], point: Point) -> State:
        return State(x, jnp.zeros(x.shape[0]))

    def step(self, state: State, *, denoiser: Denoiser, interval: Interval) -> State:
        law = self.transition(denoiser(state.x, interval.here), interval)
        x = law.draw(interval.noise)
        return State(x, law.log_prob(x))
