"""Multistep consistency sampling: estimate the data, noise it again, less (arXiv:2303.01469, algorithm 1; LCM
arXiv:2310.04378, section 4).
"""

import dataclasses

from unified_jax.core.noise.point import Point
from unified_jax.core.types import Array
from unified_jax.sampling.solvers.gaussian import Gaussian, GaussianSolver
from unified_jax.sampling.solvers.solve import Estimate, Interval


@dataclasses.dataclass(frozen=True)
class Boundary:
    """f = skip x_t + out x, the identity at the first time; with s = scale (t - start),

        skip = data_std^2 / (s^2 + data_std^2),   out = s / sqrt(s^2 + data_std^2)

    The defaults are LCM's: 10 times the level of a table of 1000 (arXiv:2310.04378, appendix D).
    """

    scale: float = 10_000.0
    start: float = 1e-3
    data_std: float = 0.5

    def apply(self, clean: Array, x_t: Array, *, point: Point) -> Array:
        """f from the estimated data."""
        s = self.scale * (point.over(x_t).t - self.start)
        spread = s**2 + self.data_std**2
        return self.data_std**2 / spread * x_t + s * spread**-0.5 * clean


@dataclasses.dataclass(frozen=True)
class Lcm(GaussianSolver):
    """boundary: of the network's consistency function; None where the estimated data is one as it is, as from noise, v
    or velocity at time 0.
    """

    boundary: Boundary | None = None

    def transition(self, estimate: Estimate, interval: Interval) -> Gaussian:
        clean, there = estimate.clean, interval.there.over(estimate.x)
        if self.boundary is not None:
            clean = self.boundary.apply(clean, estimate.x, point=interval.here)
        return Gaussian(there.alpha * clean, there.sigma)
