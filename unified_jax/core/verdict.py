"""Verdict: what a critic in training says of real pictures and of made ones."""

from flax import struct

from unified_jax.core.types import Leaf


@struct.dataclass
class Verdict:
    """Scores of patches, high for real ones; each for whom it is a lesson.

    real: float32 [B h w], for the critic. made: [B h w], for the critic: the pictures are held fixed. fooled: [B h w],
    the same numbers, for the maker of the pictures: the critic is held fixed. slope: [B], the squared length of the
    gradient of a real picture's summed scores with respect to its pixels. usual_real, usual_made: [], averages of
    earlier scores. upkeep: [], 0, whose gradient keeps these averages up (``codecs/quantisers/moving.py``).
    """

    real: Leaf
    made: Leaf
    fooled: Leaf
    slope: Leaf
    usual_real: Leaf
    usual_made: Leaf
    upkeep: Leaf
