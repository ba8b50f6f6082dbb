"""Shifts: times moved towards noise, by a factor of the noise-to-data ratio."""

import math

from unified_jax.core.types import AnyArray, Float


def shift(t: Float[AnyArray, "..."] | float, factor: Float[AnyArray, "..."] | float) -> Float[AnyArray, "..."] | float:
    """factor t / (1 + (factor - 1) t) (SD3, arXiv:2403.03206, eq. 23)."""
    return factor * t / (1 + (factor - 1) * t)


def exponential(length: int, *, base: tuple[int, float] = (256, 0.5), most: tuple[int, float] = (4096, 1.15)) -> float:
    """The factor exp(mu), mu linear in the sequence length through two pairs of (length, mu).

    github.com/black-forest-labs/flux, ``src/flux/sampling.py``.
    """
    (short, low), (long, high) = base, most
    return math.exp(low + (high - low) * (length - short) / (long - short))


def by_resolution(length: int, *, base: int) -> float:
    """The factor sqrt(length / base) that keeps the uncertainty of a picture of ``base`` entries (arXiv:2403.03206,
    eq. 23).
    """
    return math.sqrt(length / base)
