"""Scores with their uncertainty."""

import dataclasses
import math
from collections.abc import Sequence

Z95 = 1.959963984540054
# Student's t, 97.5%, of 1 to 30 degrees of freedom (W. S. Gosset, Biometrika 6, 1908).
T95 = (
    (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
    + (2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860)
    + (2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423)
)


@dataclasses.dataclass(frozen=True)
class Score:
    """A proportion or a mean of ``n`` trials with its 95% interval."""

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
    """Student's interval; one value has none, and its ends are where it is."""
    n = len(values)
    if not n:
        raise ValueError("a mean of no values is not defined")
    centre = math.fsum(values) / n
    if n == 1:
        return Score(centre, centre, centre, n)
    deviation = math.sqrt(math.fsum((x - centre) ** 2 for x in values) / (n - 1))
    half = (T95[n - 2] if n - 1 <= len(T95) else Z95) * deviation / math.sqrt(n)
    return Score(centre, centre - half, centre + half, n)
