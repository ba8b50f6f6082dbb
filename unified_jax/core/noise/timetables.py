"""Timetables: the times a sampler visits, from noise down to the data; N intervals are N + 1 times."""

import jax.numpy as jnp
import numpy as np

from unified_jax.core.noise.path import Path
from unified_jax.core.noise.shifts import shift
from unified_jax.core.types import AnyArray, Array, Float, Int


def timetable(steps: Int[AnyArray, "B"], factor: Float[AnyArray, "B"], *, most: int) -> Float[Array, "{most}+1 B"]:
    """Every row's times from 1 to 0 in ``steps`` intervals, moved towards noise by ``factor`` (``shift``).

    A row with fewer steps than ``most`` stays at 0 once it is there. Where a published count N means the N times of
    ``linspace(1, 0, N)`` (BAGEL), its intervals are N - 1.
    """
    passed = jnp.arange(most + 1)[:, None] / steps
    return shift(1.0 - jnp.minimum(passed, 1.0), factor)


def linspace(steps: int, *, levels: int = 1000, spare: int = 0) -> Float[np.ndarray, "{steps}+1"]:
    """From the last level evenly down to the first, then 0; with ``spare`` 1 the first level is left out."""
    return _down(np.linspace(levels, 1, steps + spare)[:steps] / levels)


def leading(steps: int, *, levels: int = 1000, offset: int = 0) -> Float[np.ndarray, "{steps}+1"]:
    """Every (levels // steps)-th level from the first, all moved by ``offset``; then 0 (DDIM's spacing).

    Raises ValueError for more steps than levels.
    """
    _check(steps, levels)
    return _down((np.arange(steps)[::-1] * (levels // steps) + offset + 1) / levels)


def trailing(steps: int, *, levels: int = 1000) -> Float[np.ndarray, "{steps}+1"]:
    """Every (levels / steps)-th level counted from the last, to the nearest; then 0 (arXiv:2305.08891, section 3.3).

    Raises ValueError for more steps than levels.
    """
    _check(steps, levels)
    return _down(np.round(np.linspace(levels, 0, steps + 1)[:-1]) / levels)


def rounded(t: Float[np.ndarray, "N"], *, levels: int = 1000) -> Float[np.ndarray, "N"]:
    """Every time at the nearest level of a table, a half to the even one of the levels counted from 0."""
    return ((np.round(np.asarray(t, np.float64) * levels - 1) + 1) / levels).astype(np.float32)


def karras(
    path: Path, steps: int, *, least: float = 0.002, most: float = 80.0, rho: float = 7.0
) -> Float[Array, "{steps}+1"]:
    """Times whose sigma / alpha falls from ``most`` to ``least`` evenly in its 1 / rho power; then 0.

    Karras et al., arXiv:2206.00364, eq. 5.
    """
    ratios = np.linspace(most ** (1 / rho), least ** (1 / rho), steps) ** rho
    return jnp.append(path.time(jnp.asarray(ratios, jnp.float32)), 0.0)


def _check(steps: int, levels: int) -> None:
    if not 1 <= steps <= levels:
        raise ValueError(f"steps must be from 1 to the {levels} levels of the table, found {steps}")


def _down(t: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N+1"]:
    return np.append(t, 0.0).astype(np.float32)
