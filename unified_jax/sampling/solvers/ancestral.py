"""Ancestral samplers: each step draws from the law of x_s given x_t and the estimated data.

For any Gaussian path, with r = alpha_t / alpha_s and the variance beta = sigma_t^2 - r^2 sigma_s^2 that leads from s to
t, the posterior of x_s given x_t and x has the variance (sigma_s / sigma_t)^2 beta (DDPM, arXiv:2006.11239, eq. 7).
"""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.noise.point import Point
from unified_jax.core.types import Array
from unified_jax.sampling.solvers.gaussian import Gaussian, GaussianSolver
from unified_jax.sampling.solvers.solve import Estimate, Interval


@dataclasses.dataclass(frozen=True)
class Ddim(GaussianSolver):
    """DDIM (arXiv:2010.02502, eq. 12 and 16), on any path.

    eta: 0 is deterministic and the same as ``Euler``; 1 has the posterior variance: DDPM's smaller one, and the same
      as k-diffusion's Euler ancestral.
    """

    eta: float = 0.0

    def transition(self, estimate: Estimate, interval: Interval) -> Gaussian:
        here, there = interval.here.over(estimate.x), interval.there.over(estimate.x)
        variance = self.eta**2 * jnp.square(there.sigma / here.sigma) * _added(here, there)
        keep = jnp.sqrt(jnp.maximum(there.sigma**2 - variance, 0.0))
        return Gaussian(there.alpha * estimate.clean + keep * estimate.noise, jnp.sqrt(variance))


@dataclasses.dataclass(frozen=True)
class Ddpm(GaussianSolver):
    """DDPM with a variance between the posterior one and beta (arXiv:2006.11239, section 3.2), log-linearly.

    between: 0 is the posterior variance ("fixed small"), 1 beta ("fixed large"); None asks the network, whose further
      channels in [-1, 1] say it (improved DDPM, arXiv:2102.09672, eq. 15).
    """

    between: float | None = 0.0

    def transition(self, estimate: Estimate, interval: Interval) -> Gaussian:
        here, there = interval.here.over(estimate.x), interval.there.over(estimate.x)
        between = (estimate.rest + 1) / 2 if self.between is None else self.between
        mean = posterior_mean(estimate.clean, estimate.x, here=here, there=there)
        # A step to clean data draws nothing.
        return Gaussian(mean, jnp.where(there.sigma > 0, jnp.exp(0.5 * log_variance(between, here, there)), 0.0))


def posterior_mean(clean: Array, x_t: Array, *, here: Point, there: Point) -> Array:
    """E[x_s | x_t, x]."""
    ratio = here.alpha / there.alpha
    return (there.alpha * _added(here, there) * clean + ratio * there.sigma**2 * x_t) / here.sigma**2


def log_variance(between: Array | float, here: Point, there: Point) -> Array:
    """Log-linear from the posterior variance (0) to beta (1)."""
    beta = _added(here, there)
    return jnp.log(beta) + 2 * (1 - between) * jnp.log(there.sigma / here.sigma)


def _added(here: Point, there: Point) -> Array:
    """beta: sigma_t^2 - (alpha_t / alpha_s)^2 sigma_s^2, without the cancellation of nearly equal terms."""
    ratio = here.alpha / there.alpha
    return (here.sigma - ratio * there.sigma) * (here.sigma + ratio * there.sigma)
