"""DPM-Solver++ (2M) and its stochastic form: second order from the estimate of the step before.

arXiv:2211.01095, algorithm 2 and appendix B.4 (SDE-DPM-Solver++ 2M).
"""

import dataclasses

import jax.numpy as jnp
from flax import struct

from unified_jax.core.noise.point import Point, over
from unified_jax.core.types import Array, Float, Leaf
from unified_jax.sampling.solvers.exponential import growth, hold, slope
from unified_jax.sampling.solvers.solve import Denoiser, Interval, State


@struct.dataclass
class Before:
    """The step before: its estimate of the data, and its h."""

    clean: Leaf
    h: Leaf


@dataclasses.dataclass(frozen=True)
class Dpm:
    """eta: 0 is the ODE (2M), 1 the SDE (2M-SDE). The first step, and the last to clean data, are of first order."""

    eta: float = 0.0

    def init(self, x: Float[Array, "..."], point: Point) -> State:
        return State(x, Before(jnp.zeros_like(x), jnp.zeros_like(point.t)))

    def step(self, state: State, *, denoiser: Denoiser, interval: Interval) -> State:
        here, there, before = interval.here, interval.there, state.memory
        clean, h = denoiser(state.x, here).clean, growth(here, there)
        second = (interval.left < interval.count) & (interval.left > 1)
        ahead = slope(clean, before.clean, h=h, h_before=before.h) / 2
        held = clean + jnp.where(over(second, state.x), ahead, 0.0)
        x = hold(state.x, held, here=here, there=there, eta=self.eta, noise=interval.noise)
        return State(x, Before(clean, h))
