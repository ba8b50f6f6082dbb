"""Frequencies for contexts longer than those trained on: partials of these are ``Rope.frequencies``.

Each maps (theta, dim) to radians per position, float64 [dim / 2], like ``rope.geometric``, which they start from.
``original_length`` is the longest sequence of pretraining; ``factor`` says how many times longer sequences may become.
"""

import math

import numpy as np

from unified_jax.core.types import Float
from unified_jax.nn.rope import geometric


def interpolated(theta: float, dim: int, *, factor: float) -> Float[np.ndarray, "pairs"]:
    """All positions squeezed into the original range (arXiv:2306.15595, eq. 4)."""
    return geometric(theta, dim) / factor


def rebased(theta: float, dim: int, *, stretch: float) -> Float[np.ndarray, "pairs"]:
    """A larger theta: the slowest pair is slowed by ``stretch``, the fastest not (arXiv:2309.00071, section 3.1)."""
    return geometric(theta * stretch ** (dim / (dim - 2)), dim)


def dynamic_stretch(factor: float, *, length: int, original_length: int) -> float:
    """The stretch for sequences of ``length``: 1 up to the original length, then growing with it.

    length: static; all positions of a model turn by one table, so that cached keys stay comparable to new ones.
    """
    return factor * max(length, original_length) / original_length - (factor - 1)


def ramped(
    theta: float,
    dim: int,
    *,
    factor: float,
    original_length: int,
    fast_turns: float = 32.0,
    slow_turns: float = 1.0,
    truncate: bool = True,
) -> Float[np.ndarray, "pairs"]:
    """Fast pairs are kept, slow ones interpolated, linearly in i between (code release of arXiv:2309.00071).

    fast_turns, slow_turns: full turns within ``original_length`` where the ramp begins and ends.
    truncate: the ramp begins and ends at a whole pair.
    """

    def pair(turns: float) -> float:
        """The fractional i whose pair makes so many turns."""
        return dim * math.log(original_length / (turns * math.tau)) / (2 * math.log(theta))

    begin, end = pair(fast_turns), pair(slow_turns)
    if truncate:
        begin, end = math.floor(begin), math.ceil(end)
    begin, end = max(begin, 0), min(end, dim - 1)
    ramp = np.clip((np.arange(dim // 2) - begin) / max(end - begin, 0.001), 0, 1)
    return geometric(theta, dim) * (1 - ramp + ramp / factor)


def blended(
    theta: float, dim: int, *, factor: float, original_length: int, slow_turns: float, fast_turns: float
) -> Float[np.ndarray, "pairs"]:
    """As ``ramped``, but linear in the number of turns within ``original_length`` (arXiv:2309.00071, section 3.2)."""
    rate = geometric(theta, dim)
    turns = original_length * rate / math.tau
    kept = np.clip((turns - slow_turns) / (fast_turns - slow_turns), 0, 1)
    return rate * (kept + (1 - kept) / factor)


def divided(theta: float, dim: int, *, divisors: tuple[float, ...]) -> Float[np.ndarray, "pairs"]:
    """Every pair slowed by its own searched number (arXiv:2402.13753, eq. 3). Raises ValueError for a wrong count."""
    if len(divisors) != dim // 2:
        raise ValueError(f"{dim // 2} pairs of channels need as many divisors, found {len(divisors)}")
    return geometric(theta, dim) / np.asarray(divisors)


def leading(theta: float, dim: int, *, pairs: int, factor: float = 1.0) -> Float[np.ndarray, "pairs"]:
    """The first ``pairs`` turn as they would alone; the others, paired over the whole head, stand still."""
    return np.where(np.arange(dim // 2) < pairs, geometric(theta, dim) / factor, 0.0)


def log_attention_factor(factor: float, *, slope: float = 1.0) -> float:
    """0.1 slope ln(factor) + 1, the inverse square root of a temperature (arXiv:2309.00071, eq. 22); never below 1."""
    return 0.1 * slope * math.log(max(factor, 1.0)) + 1.0


def root_attention_factor(factor: float, *, original_length: int) -> float:
    """sqrt(1 + ln(factor) / ln(original_length)) (arXiv:2402.13753, code release); never below 1."""
    return math.sqrt(1 + math.log(max(factor, 1.0)) / math.log(original_length))
