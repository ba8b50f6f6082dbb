"""Prediction: what a network's output means, as one row (a, b) of output = a x + b e.

With x_t = alpha x + sigma e, an output and x_t are two equations for the data x and the noise e, so whatever a network
was trained to say (output = a x + b e), anything else (c x + d e) is

    [(c b - d a) x_t + (d alpha - c sigma) output] / (alpha b - sigma a)

Noise: DDPM (arXiv:2006.11239, eq. 12). v: arXiv:2202.00512, appendix D. Velocity: arXiv:2209.03003, eq. 1. The
preconditioned network of EDM: arXiv:2206.00364, eq. 7 and table 1.
"""

import abc
import dataclasses

from unified_jax.core.noise.point import Point
from unified_jax.core.types import Array, Float

Row = tuple[Array | float, Array | float]


class Prediction(abc.ABC):
    """What an output is an estimate of."""

    @abc.abstractmethod
    def row(self, point: Point) -> Row:
        """The coefficients (a, b) of data and noise at a point of the path."""


@dataclasses.dataclass(frozen=True)
class Fixed(Prediction):
    """The same mixture at every time."""

    data: float
    noise: float

    def row(self, point: Point) -> Row:
        return self.data, self.noise


@dataclasses.dataclass(frozen=True)
class Angular(Prediction):
    """v = alpha e - sigma x: on a variance-preserving path, the derivative by the angle arctan(sigma / alpha)."""

    def row(self, point: Point) -> Row:
        return -point.sigma, point.alpha


@dataclasses.dataclass(frozen=True)
class Preconditioned(Prediction):
    """EDM's F, of unit variance for data of standard deviation ``data_std`` on a path of unit variance."""

    data_std: float = 0.5

    def row(self, point: Point) -> Row:
        return point.sigma / self.data_std, -self.data_std * point.alpha


CLEAN, NOISE, V = Fixed(1.0, 0.0), Fixed(0.0, 1.0), Angular()
VELOCITY = Fixed(-1.0, 1.0)  # of the straight path: e - x

PREDICTIONS = {"clean": CLEAN, "noise": NOISE, "velocity": VELOCITY, "v": V}


def named(prediction: str | Prediction) -> Prediction:
    """The prediction of that name; one that is not a name is returned unchanged. Raises ValueError."""
    if not isinstance(prediction, str):
        return prediction
    if prediction not in PREDICTIONS:
        raise ValueError(f"prediction must be one of {', '.join(sorted(PREDICTIONS))}, found {prediction!r}")
    return PREDICTIONS[prediction]


def convert(
    output: Float[Array, "..."],
    x_t: Float[Array, "..."],
    *,
    point: Point,
    source: Prediction,
    to: Prediction,
) -> Float[Array, "..."]:
    """What an output that means ``source`` says about ``to``; not finite where the two equations are one."""
    point = point.over(x_t)
    (a, b), (c, d) = source.row(point), to.row(point)
    determinant = point.alpha * b - point.sigma * a
    return ((c * b - d * a) * x_t + (d * point.alpha - c * point.sigma) * output) / determinant


def gain(point: Point, *, source: Prediction, to: Prediction) -> Float[Array, "..."]:
    """By how much an error of ``source`` is an error of ``to``."""
    (a, b), (c, d) = source.row(point), to.row(point)
    return (d * point.alpha - c * point.sigma) / (point.alpha * b - point.sigma * a)
