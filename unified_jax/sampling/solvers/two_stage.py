"""Second-order Runge-Kutta methods: two evaluations a step (Heun and midpoint; arXiv:2206.00364, algorithm 3)."""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.noise.point import Point, over
from unified_jax.core.types import Array, Float
from unified_jax.sampling.solvers.chart import FLOW, Chart
from unified_jax.sampling.solvers.solve import Denoiser, Interval, State


@dataclasses.dataclass(frozen=True)
class TwoStage:
    """Along slopes at the start and at a second time of the interval, weighed for second order.

    fraction: of the interval in time, where the second slope is taken: 1 is Heun's method, 1/2 the midpoint method.
    At clean data there is no slope: a last step whose second time is 0 is Euler's.
    """

    chart: Chart = FLOW
    fraction: float = 1.0

    def init(self, x: Float[Array, "..."], point: Point) -> State:
        return State(x)

    def step(self, state: State, *, denoiser: Denoiser, interval: Interval) -> State:
        here, there, place = interval.here, interval.there, self.chart.place
        middle = there if self.fraction == 1 else denoiser.path.at(here.t + self.fraction * (there.t - here.t))
        first = denoiser(state.x, here).read(self.chart.slope)
        second = denoiser(self.chart.move(state.x, first, here=here, there=middle), middle).read(self.chart.slope)
        weight = over((place(there) - place(here)) / (2 * (place(middle) - place(here))), state.x)
        slope = jnp.where(over(middle.sigma, state.x) > 0, (1 - weight) * first + weight * second, first)
        return State(self.chart.move(state.x, slope, here=here, there=there))
