"""Variance-preserving diffusion from a table of betas: alpha^2 + sigma^2 = 1 (DDPM, arXiv:2006.11239, eq. 4).

A table has N noise levels, and clean data comes before the first: level i is the canonical time (i + 1) / N, so that
t = 0 is clean, t = 1 the last level, and what such a network is told of the time, i, is N t - 1. Between levels
sigma / alpha is linear in t.
"""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np

from unified_jax.core.noise.betas import linear
from unified_jax.core.noise.path import Path
from unified_jax.core.noise.point import Point
from unified_jax.core.types import Array, Float

SNAP = 1e-3  # of a level: a float32 time this near to one is that level


@dataclasses.dataclass(frozen=True)
class VariancePreserving(Path):
    """betas: of the levels, least noise first (``core.noise.betas``)."""

    betas: tuple[float, ...] = linear()

    @property
    def levels(self) -> int:
        """N, the noise levels of the table."""
        return len(self.betas)

    def at(self, t: Float[Array, "..."]) -> Point:
        t = jnp.asarray(t)
        table, place = jnp.asarray(_ratios(self.betas)), t * self.levels
        place = jnp.where(jnp.abs(place - jnp.round(place)) < SNAP, jnp.round(place), place)
        below = jnp.floor(place)
        low, high = table[below.astype(int)], table[jnp.minimum(below.astype(int) + 1, self.levels)]
        # At a level nothing is interpolated: the last ratio may be infinite (zero terminal signal-to-noise).
        ratio = jnp.where(place > below, low + (place - below) * (high - low), low)
        return Point(t, (1 + ratio**2) ** -0.5, (1 + ratio**-2.0) ** -0.5)

    def time(self, ratio: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.interp(ratio, _ratios(self.betas), jnp.arange(self.levels + 1) / self.levels)


@functools.lru_cache
def _ratios(betas: tuple[float, ...]) -> Float[np.ndarray, "..."]:
    """sigma / alpha of clean data and of every level; a NumPy table, since the cache outlives any trace."""
    signal = np.cumprod(1 - np.array(betas, np.float64))
    with np.errstate(divide="ignore"):
        return np.concatenate([[0.0], np.sqrt((1 - signal) / signal)]).astype(np.float32)
