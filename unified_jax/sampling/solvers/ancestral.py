"""Ancestral samplers: steps draw from the law of x_s given x_t and the estimated data (``core.noise.posterior``)."""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.noise import posterior
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
        variance = self.eta**2 * jnp.square(there.sigma / here.sigma) * posterior.added(here, there)
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
        mean = posterior.mean(estimate.clean, estimate.x, here=here, there=there)
        std = jnp.exp(0.5 * posterior.log_variance(here, there, between=between))
        # A step to clean data draws nothing.
        return Gaussian(mean, jnp.where(there.sigma > 0, std, 0.0))
