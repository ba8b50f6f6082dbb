"""Charts: coordinates (z, u) in which the probability-flow ODE of any Gaussian path is dz/du = an estimate.

                    z                     u                         dz/du
    flow            x / (alpha + sigma)   sigma / (alpha + sigma)   e - x, the velocity of the straight path
    exploding       x / alpha             sigma / alpha             e (Karras et al., arXiv:2206.00364, eq. 1; DDIM,
                                                                    arXiv:2010.02502, eq. 14)

Euler steps are the same in both, and are DDIM's; methods of higher order differ. The exploding chart has no place for
pure noise, alpha = 0.
"""

import dataclasses
from collections.abc import Callable

from unified_jax.core.noise.point import Point
from unified_jax.core.noise.prediction import NOISE, VELOCITY, Prediction
from unified_jax.core.types import Array, Float


@dataclasses.dataclass(frozen=True)
class Chart:
    """scale: x / z. place: u. slope: what the derivative estimates."""

    scale: Callable[[Point], Array | float]
    place: Callable[[Point], Array]
    slope: Prediction

    def move(self, x: Float[Array, "..."], slope: Float[Array, "..."], *, here: Point, there: Point) -> Array:
        """x carried from one point to another along a slope."""
        here, there = here.over(x), there.over(x)
        moved = x / self.scale(here) + (self.place(there) - self.place(here)) * slope
        return self.scale(there) * moved


FLOW = Chart(lambda point: point.alpha + point.sigma, lambda point: point.sigma / (point.alpha + point.sigma), VELOCITY)
EXPLODING = Chart(lambda point: point.alpha, lambda point: point.ratio, NOISE)
