"""Jump: steps of any length along the average velocity, which the network predicts for both ends of the step.

x_s = x_t - (t - s) u(x_t, t, s): shortcut models (arXiv:2410.12557, section 3.2), MeanFlow (arXiv:2505.13447, eq. 12).
"""

import dataclasses

from unified_jax.core.noise.point import Point, over
from unified_jax.core.noise.prediction import VELOCITY
from unified_jax.core.types import Array, Float
from unified_jax.sampling.solvers.solve import Denoiser, Interval, State


@dataclasses.dataclass(frozen=True)
class Jump:
    """On the straight path; the network finds where to in ``point.until``."""

    def init(self, x: Float[Array, "..."], point: Point) -> State:
        return State(x)

    def step(self, state: State, *, denoiser: Denoiser, interval: Interval) -> State:
        here, there = interval.here, interval.there
        average = denoiser(state.x, here.replace(until=there.t)).read(VELOCITY)
        return State(state.x - over(here.t - there.t, state.x) * average)
