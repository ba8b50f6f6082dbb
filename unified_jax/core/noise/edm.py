"""The variance-exploding path of EDM (arXiv:2206.00364), divided by its standard deviation so that a network sees unit
variance: with s = sigma_max t^rho,

    x_t = (x + s e) / sqrt(s^2 + data_std^2)

Its input scaling c_in is then the path itself, c_skip and c_out are the prediction ``Preconditioned`` (table 1 there),
and its noise levels (eq. 5) are evenly spaced times.
"""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.noise.path import Path
from unified_jax.core.noise.point import Point
from unified_jax.core.noise.prediction import Preconditioned, Prediction
from unified_jax.core.types import Array, Float


@dataclasses.dataclass(frozen=True)
class Edm(Path):
    """sigma_max: noise over data at t = 1. rho: how much denser levels lie near the data. data_std: of the data."""

    prediction: str | Prediction = Preconditioned()
    sigma_max: float = 80.0
    rho: float = 7.0
    data_std: float = 0.5

    def at(self, t: Float[Array, "..."]) -> Point:
        t = jnp.asarray(t)
        ratio = self.sigma_max * t**self.rho
        alpha = (ratio**2 + self.data_std**2) ** -0.5
        return Point(t, alpha, ratio * alpha)

    def time(self, ratio: Float[Array, "..."]) -> Float[Array, "..."]:
        return (ratio / self.sigma_max) ** (1 / self.rho)
