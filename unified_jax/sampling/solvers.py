"""Solvers of the probability-flow ODE dx/dt = velocity(x, t), from noise (t = 1) to data (t = 0)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from unified_jax.core.noise import shift
from unified_jax.core.types import Array, Float

Velocity = Callable[[Array, Array], Array]


def times(steps: int, factor: float = 1.0) -> Float[Array, "{steps}+1"]:
    """From 1 to 0 in ``steps`` intervals, moved towards noise by ``factor`` (``core.noise.shift``)."""
    if steps < 1:
        raise ValueError(f"steps must be 1 or more, found {steps}")
    return shift(jnp.linspace(1.0, 0.0, steps + 1), factor)


def euler(velocity: Velocity, x: Float[Array, "..."], t: Float[Array, "N"]) -> Float[Array, "..."]:
    """x at the last time of ``t``; one call of ``velocity(x, t)`` for each interval."""

    def step(x, interval):
        start, end = interval
        return x + (end - start) * velocity(x, start), None

    return jax.lax.scan(step, x, (t[:-1], t[1:]))[0]
