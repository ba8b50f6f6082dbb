"""Pick: how one entry is chosen from the state that predicts it. An id is drawn, a vector is integrated from noise."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from unified_jax.core.noise import Path, over, timetable
from unified_jax.core.sequence import Draft
from unified_jax.core.types import Array, Float, Int, Key
from unified_jax.sampling.draw import Brushes
from unified_jax.sampling.solvers.euler import Euler
from unified_jax.sampling.solvers.solve import Solver, solve
from unified_jax.sampling.work import Work, one_by_one

Predict = Callable[[Draft | None], Array]  # what the head makes of one entry of every row, [B V] or [B P]


@dataclasses.dataclass(frozen=True)
class Id:
    """One of the ids that the logits are of."""

    def __call__(
        self, rng: Key[Array, "B"], predict: Predict, *, brushes: Brushes, size: tuple[int, ...], most: int
    ) -> Int[Array, "B"]:
        """size: of an entry. most: room of the timetable."""
        return jax.vmap(jax.random.categorical)(rng, brushes.odds(predict(None))).astype(jnp.int32)

    def work(self, entries: int, *, slots: int, steps: int) -> Work:
        """What so many entries of so many slots each cost."""
        return one_by_one(entries, slots=slots)


@dataclasses.dataclass(frozen=True)
class Vector:
    """Solved from noise to data along the path that the head was trained on; the backbone is run once.

    The temperature scales the noise at the start.
    """

    path: Path
    solver: Solver = Euler()

    def __call__(
        self, rng: Key[Array, "B"], predict: Predict, *, brushes: Brushes, size: tuple[int, ...], most: int
    ) -> Float[Array, "B P"]:
        """size: of an entry. most: room of the timetable."""
        normal = jax.vmap(lambda key: jax.random.normal(key, size))
        noise = lambda i: normal(jax.vmap(jax.random.fold_in, (0, None))(rng, i))
        start = normal(rng)

        def network(x, point):
            return predict(Draft(x[:, None], point.t[:, None]))

        t, steps = timetable(brushes.steps, brushes.shift, most=most), brushes.steps.max()
        start = over(brushes.temperature, start) * start
        return solve(network, start, t=t, path=self.path, solver=self.solver, noise=noise, steps=steps)

    def work(self, entries: int, *, slots: int, steps: int) -> Work:
        """What so many entries of so many slots each cost."""
        return one_by_one(entries, slots=slots, reads=steps)
