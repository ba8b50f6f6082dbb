"""Path: from data to noise along x_t = alpha(t) x + sigma(t) e; a path says what alpha and sigma are.

The canonical time is 0 at clean data and 1 at noise. Training and sampling read the same path, so the two cannot drift
apart.
"""

import dataclasses

from unified_jax.core.noise.point import Point
from unified_jax.core.noise.prediction import Prediction, convert, named
from unified_jax.core.types import Array, Float


@dataclasses.dataclass(frozen=True)
class Path:
    """prediction: what the network's output means, a name ("noise", "clean", "v", "velocity") or a ``Prediction``."""

    prediction: str | Prediction = "noise"

    def __post_init__(self):
        named(self.prediction)

    def at(self, t: Float[Array, "..."]) -> Point:
        """The scales at a time."""
        raise NotImplementedError

    def time(self, ratio: Float[Array, "..."]) -> Float[Array, "..."]:
        """The time at which sigma / alpha is ``ratio``: the inverse of ``at(t).ratio``."""
        raise NotImplementedError

    @property
    def output(self) -> Prediction:
        """What the network's output means."""
        return named(self.prediction)

    def corrupt(self, x: Float[Array, "*#n P"], noise: Float[Array, "*#n P"], t: Float[Array, "*#n"]) -> Array:
        """x_t."""
        point = self.at(t).over(x)
        return point.alpha * x + point.sigma * noise

    def target(self, x: Float[Array, "*#n P"], noise: Float[Array, "*#n P"], t: Float[Array, "*#n"]) -> Array:
        """What an exact network would output."""
        a, b = self.output.row(self.at(t).over(x))
        return a * x + b * noise

    def read(
        self, output: Float[Array, "..."], x_t: Float[Array, "..."], *, t: Float[Array, "..."], to: Prediction
    ) -> Float[Array, "..."]:
        """What the network's output says about ``to``."""
        return convert(output, x_t, point=self.at(t), source=self.output, to=to)
