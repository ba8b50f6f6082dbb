"""Gaussian noise paths, what a network's output means on them, and the times of training and sampling.

The names most code needs; betas, shifts by resolution, spacings and predictions are in the modules.
"""

from unified_jax.core.noise.edm import Edm
from unified_jax.core.noise.path import Path
from unified_jax.core.noise.point import Point, over
from unified_jax.core.noise.preserving import VariancePreserving
from unified_jax.core.noise.rectified import Rectified
from unified_jax.core.noise.shifts import shift
from unified_jax.core.noise.times import TimeSampler, logit_normal, uniform
from unified_jax.core.noise.timetables import timetable

__all__ = [
    "Edm",
    "Path",
    "Point",
    "Rectified",
    "TimeSampler",
    "VariancePreserving",
    "logit_normal",
    "over",
    "shift",
    "timetable",
    "uniform",
]
