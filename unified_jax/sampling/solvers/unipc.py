"""UniPC: a second-order predictor, and a corrector to third order that costs no evaluation (arXiv:2302.04867, B2).

The predictor is DPM-Solver++ (2M). The next step's estimate of the data, which that step needs anyway, then says what
the estimate should have been held at over the interval that was crossed.
"""

import dataclasses

import jax.numpy as jnp
from flax import struct

from unified_jax.core.noise.point import Point, over
from unified_jax.core.types import Array, Float, Leaf
from unified_jax.sampling.solvers.exponential import growth, hold, slope
from unified_jax.sampling.solvers.solve import Denoiser, Interval, State


@struct.dataclass
class Crossed:
    """The step before: where it began and from what x, its h, its estimate of the data, and of that the growth over h
    by its own predecessor (0 in a first or last step).
    """

    point: Point
    x: Leaf
    h: Leaf
    clean: Leaf
    ahead: Leaf
    h_before: Leaf


@dataclasses.dataclass(frozen=True)
class UniPc:
    """UniPC-2 (section 3.3). The first step, and the last to clean data, are predicted at first order."""

    def init(self, x: Float[Array, "..."], point: Point) -> State:
        zero = jnp.zeros_like(point.t)
        return State(x, Crossed(point, x, zero, jnp.zeros_like(x), jnp.zeros_like(x), zero))

    def step(self, state: State, *, denoiser: Denoiser, interval: Interval) -> State:
        here, there, crossed = interval.here, interval.there, state.memory
        began = interval.left == interval.count
        clean, h = denoiser(state.x, here).clean, growth(here, there)
        x = jnp.where(over(began, state.x), state.x, _correct(crossed, clean, here))
        second = ~began & (interval.left > 1)
        ahead = slope(clean, crossed.clean, h=h, h_before=crossed.h)
        ahead = jnp.where(over(second, x), ahead, 0.0)
        h_before = jnp.where(second, crossed.h, jnp.inf)
        moved = hold(x, clean + ahead / 2, here=here, there=there)
        return State(moved, Crossed(here, x, h, clean, ahead, h_before))


def _correct(crossed: Crossed, clean: Float[Array, "..."], here: Point) -> Float[Array, "..."]:
    """x at ``here`` again, now that the data is estimated there as well.

    The two weights make the step exact for estimates that are quadratic in ln(alpha / sigma); without a predecessor
    (``h_before`` infinite) they are 0 and 1/2.
    """
    h, first = crossed.h, jnp.isinf(crossed.h_before)
    shrink = jnp.expm1(-h)
    b_1 = -1 / h - 1 / shrink
    b_2 = (2 * (shrink / h + 1) / h - 1) / shrink
    old = jnp.where(first, 0.0, (b_1 - b_2) / (1 + crossed.h_before / h))
    new = jnp.where(first, 0.5, b_1 - old)
    held = crossed.clean + over(old, clean) * crossed.ahead + over(new, clean) * (clean - crossed.clean)
    return hold(crossed.x, held, here=crossed.point, there=here)
