"""Diffusion whose network also learns the variance of the sampler, by the variational bound (arXiv:2102.09672, eq. 16).

The bound of a level is KL(q(x_s | x_t, x) || p(x_s | x_t)), p being what ``Ddpm(between=None)`` draws from; at the
first level, where x_s is the data, the negative log-likelihood of data in steps of 2 / 255 (arXiv:2006.11239, eq. 13).
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from flax import struct
from jax.scipy.stats import norm

from unified_jax.core.noise import TimeSampler, VariancePreserving, posterior
from unified_jax.core.noise.prediction import CLEAN
from unified_jax.core.noise.times import level
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, Leaf, PRNGKeyArray
from unified_jax.objectives.noising import noised
from unified_jax.objectives.total import Sums

HALF_STEP = 1 / 255  # of 8-bit values in [-1, 1]
LEAST = 1e-12  # probability


@struct.dataclass
class Target:
    """What an exact network would output, and the data, [B N P] each."""

    output: Leaf
    clean: Leaf


@dataclasses.dataclass(frozen=True)
class LearnedVariance:
    """Mean squared error of the output + bound * levels * (the bound of the level, bits per value).

    The network outputs 2 P channels: the path's prediction, then where between its two limits the log-variance lies,
    from -1 to 1. The bound does not train the prediction. bound: 0.001 of section 3.1, with the sum over all levels
    estimated from one (github.com/openai/improved-diffusion, ``gaussian_diffusion.py``).
    """

    stream: str
    weight: float = 1.0
    path: VariancePreserving = VariancePreserving()
    time: TimeSampler = level
    bound: float = 0.001

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Target]:
        """Noises the learned entries; context entries (weight 0) stay clean at time 0."""
        made = noised(rng, seq, stream=self.stream, path=self.path, time=self.time)
        output = self.path.target(made.clean, made.noise, made.seq.streams[self.stream].time)
        return made.seq, Target(output, made.clean)

    def loss(self, prediction: Float[Array, "B N P2"], target: Target, payload: Payload) -> Sums:
        t = payload.time
        error = squared_and_bound(self.path, prediction, target, x_t=payload.values, t=t, bound=self.bound)
        return Sums((error * payload.weight).sum(), payload.weight.sum())


def squared_and_bound(
    path: VariancePreserving,
    prediction: Float[Array, "B N P2"],
    target: Target,
    *,
    x_t: Float[Array, "B N P"],
    t: Float[Array, "B N"],
    bound: float,
) -> Float[Array, "B N"]:
    """The error of every entry at level t, as ``LearnedVariance`` has it."""
    output, spread = jnp.split(prediction, 2, -1)
    # Context has no level; that of the first keeps what is computed for it, and not used, finite.
    t = jnp.maximum(t, 1 / path.levels)
    bits = variational_bound(path, jax.lax.stop_gradient(output), spread, x_t=x_t, clean=target.clean, t=t)
    return jnp.square(output - target.output).mean(-1) + bound * path.levels * bits.mean(-1)


def variational_bound(
    path: VariancePreserving,
    output: Float[Array, "*n P"],
    spread: Float[Array, "*n P"],
    *,
    x_t: Float[Array, "*n P"],
    clean: Float[Array, "*n P"],
    t: Float[Array, "*n"],
) -> Float[Array, "*n P"]:
    """The bound at levels t, in bits for each value. spread: of the log-variance, -1 to 1."""
    here, there = path.at(t).over(x_t), path.at(t - 1 / path.levels).over(x_t)
    first = there.sigma == 0
    # The posterior of the first level has no variance: its lower limit is that of the second level.
    lowest = posterior.log_variance(path.at(jnp.full((), 2 / path.levels)), path.at(jnp.full((), 1 / path.levels)))
    exact = jnp.where(first, lowest, posterior.log_variance(here, there))
    most = jnp.log(posterior.added(here, there))
    ours = exact + (spread + 1) / 2 * (most - exact)
    mean = lambda data: posterior.mean(data, x_t, here=here, there=there)
    guess = mean(path.read(output, x_t, t=t, to=CLEAN))
    gap = jnp.square(mean(clean) - guess)
    divergence = 0.5 * (ours - exact - 1 + jnp.exp(exact - ours) + gap * jnp.exp(-ours))
    return jnp.where(first, -_log_mass(clean, guess, ours), divergence) / math.log(2)


def _log_mass(x: Array, mean: Array, log_variance: Array) -> Array:
    """ln of a Gaussian's mass within half a step of x; beyond it for the end values of [-1, 1]."""
    std = jnp.exp(0.5 * log_variance)
    below = jnp.where(x < -0.999, 0.0, norm.cdf((x - mean - HALF_STEP) / std))
    above = jnp.where(x > 0.999, 1.0, norm.cdf((x - mean + HALF_STEP) / std))
    return jnp.log(jnp.maximum(above - below, LEAST))
