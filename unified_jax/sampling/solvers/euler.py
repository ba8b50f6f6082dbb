"""Euler's method: one evaluation a step, first order. The same as DDIM without noise (``chart.py``)."""

import dataclasses

from unified_jax.core.noise.point import Point
from unified_jax.core.types import Array, Float
from unified_jax.sampling.solvers.chart import FLOW, Chart
from unified_jax.sampling.solvers.solve import Denoiser, Interval, State


@dataclasses.dataclass(frozen=True)
class Euler:
    """Along the slope at the start of the interval; the network is never asked at time 0."""

    chart: Chart = FLOW

    def init(self, x: Float[Array, "..."], point: Point) -> State:
        return State(x)

    def step(self, state: State, *, denoiser: Denoiser, interval: Interval) -> State:
        slope = denoiser(state.x, interval.here).read(self.chart.slope)
        return State(self.chart.move(state.x, slope, here=interval.here, there=interval.there))
