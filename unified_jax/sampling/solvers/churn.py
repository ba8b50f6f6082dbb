"""EDM's stochastic sampler: noise is added before every step of a deterministic one (arXiv:2206.00364, algorithm 2)."""

import dataclasses
import math

import jax.numpy as jnp

from unified_jax.core.noise.point import Point
from unified_jax.core.types import Array, Float
from unified_jax.sampling.solvers.chart import EXPLODING
from unified_jax.sampling.solvers.solve import Denoiser, Interval, Solver, State
from unified_jax.sampling.solvers.two_stage import TwoStage

MOST = math.sqrt(2) - 1  # never more new noise than there is


@dataclasses.dataclass(frozen=True)
class Churn:
    """solver: takes the step, Heun's in the paper.

    churn, noise_std: S_churn, spread over all steps, and S_noise. least, most: of sigma / alpha where noise is added.
    """

    solver: Solver = TwoStage(EXPLODING)
    churn: float = 40.0
    noise_std: float = 1.0
    least: float = 0.0
    most: float = math.inf

    def init(self, x: Float[Array, "..."], point: Point) -> State:
        return self.solver.init(x, point)

    def step(self, state: State, *, denoiser: Denoiser, interval: Interval) -> State:
        here = interval.here
        added = jnp.where(
            (here.ratio >= self.least) & (here.ratio <= self.most), jnp.minimum(self.churn / interval.count, MOST), 0.0
        )
        raised = denoiser.path.at(denoiser.path.time(here.ratio * (1 + added)))
        old, new = here.over(state.x), raised.over(state.x)
        extra = jnp.sqrt(jnp.maximum(new.ratio**2 - old.ratio**2, 0.0)) * self.noise_std
        x = new.alpha * (state.x / old.alpha + extra * interval.noise)
        return self.solver.step(state.replace(x=x), denoiser=denoiser, interval=interval.replace(here=raised))
