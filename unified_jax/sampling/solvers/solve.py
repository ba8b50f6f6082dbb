"""Solve: from noise to data along a timetable, with any solver; the one loop of all of them.

A solver is a frozen dataclass of settings with two pure functions (``Solver``). What a multistep method must remember
is in the carry, so every solver runs in one ``lax`` loop of static shape, for a batch whose rows may take different
numbers of steps.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.noise.path import Path
from unified_jax.core.noise.point import Point, over
from unified_jax.core.noise.prediction import CLEAN, NOISE, Prediction, convert
from unified_jax.core.types import Array, Float, Int, Leaf

Network = Callable[[Array, Point], Array]  # (x, point) -> its output
Noise = Callable[[Array], Array]  # number of the step -> standard normal, like x


@struct.dataclass
class Estimate:
    """What the network said of x at a point. output may be wider than x: what is beyond is about variances."""

    output: Leaf
    x: Leaf
    point: Point
    source: Prediction = struct.field(pytree_node=False)

    def read(self, to: Prediction) -> Array:
        """The output as an estimate of ``to``."""
        return convert(self.output[..., : self.x.shape[-1]], self.x, point=self.point, source=self.source, to=to)

    @property
    def clean(self) -> Array:
        return self.read(CLEAN)

    @property
    def noise(self) -> Array:
        return self.read(NOISE)

    @property
    def rest(self) -> Array:
        """What the output holds beyond the estimate itself."""
        return self.output[..., self.x.shape[-1] :]


@dataclasses.dataclass(frozen=True)
class Denoiser:
    """A network on a path."""

    network: Network
    path: Path

    def __call__(self, x: Float[Array, "..."], point: Point) -> Estimate:
        return Estimate(self.network(x, point), x, point, self.path.output)


@struct.dataclass
class Interval:
    """One step of the timetable. here, there: its two ends. left: intervals to go with this one, by row where times
    are; count: of all. noise: standard normal like x, or None if the solver was given none.
    """

    here: Point
    there: Point
    left: Leaf
    count: Leaf
    noise: Leaf


@struct.dataclass
class State:
    """x, and what the solver remembers from step to step."""

    x: Leaf
    memory: Any = None


@runtime_checkable
class Solver(Protocol):
    """A rule for one step."""

    def init(self, x: Float[Array, "..."], point: Point) -> State:
        """The state at the first time."""

    def step(self, state: State, *, denoiser: Denoiser, interval: Interval) -> State:
        """The state at the end of the interval."""


def solve(
    network: Network,
    x: Float[Array, "..."],
    *,
    t: Float[Array, "N *B"],
    path: Path,
    solver: Solver,
    noise: Noise | None = None,
    steps: Int[Array, ""] | None = None,
) -> Float[Array, "..."]:
    """x after the intervals of ``t``, or after the first ``steps`` of them.

    t: [N], or [N B] where every row of x [B ...] has times of its own. A row whose times stand still does not move.
    noise: what a stochastic solver adds, by the number of the step.
    """
    walk = _walk(network, t=t, path=path, solver=solver, noise=noise)
    state = solver.init(x, path.at(t[0]))
    return jax.lax.fori_loop(0, len(t) - 1 if steps is None else steps, walk, state).x


def trajectory(
    network: Network,
    x: Float[Array, "..."],
    *,
    t: Float[Array, "N *B"],
    path: Path,
    solver: Solver,
    noise: Noise | None = None,
) -> State:
    """The states after every interval of ``t`` [N - 1 ...], arguments as in ``solve``."""
    walk = _walk(network, t=t, path=path, solver=solver, noise=noise)

    def body(state, i):
        state = walk(i, state)
        return state, state

    return jax.lax.scan(body, solver.init(x, path.at(t[0])), jnp.arange(len(t) - 1))[1]


def _walk(network: Network, *, t: Array, path: Path, solver: Solver, noise: Noise | None) -> Callable:
    """(number of the step, state) -> state."""
    denoiser, count = Denoiser(network, path), (t[1:] != t[:-1]).sum(0)

    def step(i, state):
        here, there = path.at(t[i]), path.at(t[i + 1])
        interval = Interval(here, there, left=count - i, count=count, noise=None if noise is None else noise(i))
        moved = solver.step(state, denoiser=denoiser, interval=interval)
        return moved.replace(x=jnp.where(over(here.t != there.t, state.x), moved.x, state.x))

    return step
