"""Clipped: another solver's steps, its data estimates held within bounds (as in DDPM's code, arXiv:2006.11239).

Where a path ends in almost pure noise, as the cosine of arXiv:2102.09672 at alpha 5e-5, an estimate of the data is one
of the noise divided by alpha: its error has to be cut off, or the first step is lost.
"""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.noise.point import Point
from unified_jax.core.noise.prediction import CLEAN, convert
from unified_jax.core.types import Array, Float
from unified_jax.sampling.solvers.solve import Denoiser, Interval, Solver, State


@dataclasses.dataclass(frozen=True)
class Clipped:
    """most: magnitude of the data, in its own units."""

    solver: Solver
    most: float

    def init(self, x: Float[Array, "..."], point: Point) -> State:
        return self.solver.init(x, point)

    def step(self, state: State, *, denoiser: Denoiser, interval: Interval) -> State:
        path = denoiser.path

        def network(x: Array, point: Point) -> Array:
            clean = convert(denoiser.network(x, point), x, point=point, source=path.output, to=CLEAN)
            clean = jnp.clip(clean, -self.most, self.most)
            return convert(clean, x, point=point, source=CLEAN, to=path.output)

        return self.solver.step(state, denoiser=Denoiser(network, path), interval=interval)
