"""Scores with their uncertainty."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

Z95 = 1.959963984540054


@dataclasses.dataclass(frozen=True)
class Score:
    """A proportion or a mean with its 95% interval; n: of how many trials, or of how many repetitions."""

    value: float
    low: float
    high: float
    n: int


def proportion(outcomes: Sequence[bool]) -> Score:
    """Wilson's interval (JASA 22, 1927): right even at 0% and 100%, where the normal one has no width."""
    n = len(outcomes)
    if not n:
        raise ValueError("a proportion of no trials is not defined")
    p, z2 = sum(map(bool, outcomes)) / n, Z95**2
    centre, half = (p + z2 / (2 * n)) / (1 + z2 / n), Z95 / (1 + z2 / n)
    half *= math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # The outer ends at 0 and 1 are exact; rounding must not leave the value outside its interval.
    return Score(p, max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half)), n)


def mean(values: Sequence[float]) -> Score:
    """The mean with Student's interval; that of a single value is not known (NaN). Raises ValueError for no values."""
    if not len(values):
        raise ValueError("a mean of no values is not defined")
    n, centre = len(values), float(np.mean(values))
    half = float(stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return Score(centre, centre - half, centre + half, n)
