"""Solvers of the probability-flow ODE dx/dt = velocity(x, t), from noise (t = 1) to data (t = 0)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from unified_jax.core.noise import shift
from unified_jax.core.types import Array, Float, Int
from unified_jax.sampling.guidance import over

Velocity = Callable[[Array, Array], Array]


def timetable(steps: Int[Array, "B"], factor: Float[Array, "B"], *, most: int) -> Float[Array, "{most}+1 B"]:
    """Every row's times from 1 to 0 in ``steps`` intervals, moved towards noise by ``factor`` (``core.noise.shift``).

    A row with fewer steps than ``most`` stays at 0 once it is there.
    """
    passed = jnp.arange(most + 1)[:, None] / steps
    return shift(1.0 - jnp.minimum(passed, 1.0), factor)


def euler(
    velocity: Velocity, x: Float[Array, "..."], t: Float[Array, "N *B"], *, steps: Int[Array, ""] | None = None
) -> Float[Array, "..."]:
    """x after the intervals of ``t``, or after the first ``steps`` of them; each calls ``velocity(x, t)`` once.

    t: [N], or [N B] where every row of x [B ...] has times of its own. A row whose times stand still does not move.
    """

    def step(i, x):
        start, end = t[i], t[i + 1]
        moved = x + over(end - start, x) * velocity(x, start)
        return jnp.where(over((end != start).astype(x.dtype), x) > 0, moved, x)

    return jax.lax.fori_loop(0, len(t) - 1 if steps is None else steps, step, x)
