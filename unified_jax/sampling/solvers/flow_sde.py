"""The SDE with the marginals of a flow, for policy gradients (Flow-GRPO, arXiv:2505.05470, eq. 9).

On the straight path, with noise s(t) = level sqrt(t / (1 - t)), run from t to t + dt, dt < 0:

    x' = x + (v + s^2 / (2 t) e) dt + s sqrt(-dt) noise

v and e are the estimated velocity and noise. Each step's law is a Gaussian (``gaussian.py``).
"""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.noise.prediction import VELOCITY
from unified_jax.sampling.solvers.gaussian import Gaussian, GaussianSolver
from unified_jax.sampling.solvers.solve import Estimate, Interval


@dataclasses.dataclass(frozen=True)
class FlowSde(GaussianSolver):
    """level: a of the paper; 0 is Euler's method. At t = 1 the noise is that with 1 - t of the next time."""

    level: float = 0.7

    def transition(self, estimate: Estimate, interval: Interval) -> Gaussian:
        here, there = interval.here.over(estimate.x), interval.there.over(estimate.x)
        span = here.t - there.t
        variance = self.level**2 * here.t / (1 - jnp.where(here.t == 1, there.t, here.t))
        drift = estimate.read(VELOCITY) + variance / (2 * here.t) * estimate.noise
        return Gaussian(estimate.x - span * drift, jnp.sqrt(variance * span))
