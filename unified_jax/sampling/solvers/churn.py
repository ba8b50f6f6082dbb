"""EDM's stochastic sampler: noise is added before every step of a deterministic one (arXiv:2206.00364, algorithm 2)."""

import dataclasses
import math

import jax.numpy as jnp

from unified_jax.core.noise import Point, over, posterior
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
        here, path = interval.here, denoiser.path
        # To pure noise none can be added.
        inside = (here.ratio >= self.least) & (here.ratio <= self.most) & (here.alpha > 0)
        added = jnp.where(inside, jnp.minimum(self.churn / interval.count, MOST), 0.0)
        raised = path.at(jnp.where(added > 0, path.time(here.ratio * (1 + added)), here.t))
        old, new = here.over(state.x), raised.over(state.x)
        std = self.noise_std * jnp.sqrt(jnp.maximum(posterior.added(new, old), 0.0))
        x = jnp.where(over(added, state.x) > 0, new.alpha / old.alpha * state.x + std * interval.noise, state.x)
        return self.solver.step(state.replace(x=x), denoiser=denoiser, interval=interval.replace(here=raised))
