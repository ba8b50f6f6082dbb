"""Pick: how one entry is chosen from the state that predicts it. An id is drawn, a vector is integrated from noise."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from unified_jax.core.noise import Rectified
from unified_jax.core.sequence import Draft
from unified_jax.core.types import Array, Float, Int, Key
from unified_jax.sampling import solvers
from unified_jax.sampling.choose import warm
from unified_jax.sampling.draw import Brushes
from unified_jax.sampling.guidance import over
from unified_jax.sampling.work import Work, one_by_one

Predict = Callable[[Draft | None], Array]  # what the head makes of one entry of every row, [B V] or [B P]


@dataclasses.dataclass(frozen=True)
class Id:
    """One of the ids that the logits are of."""

    def __call__(
        self, rng: Key[Array, "B"], predict: Predict, *, brushes: Brushes, size: tuple[int, ...], most: int
    ) -> Int[Array, "B"]:
        """size: of an entry. most: room of the timetable."""
        logits = warm(predict(None), brushes.temperature)
        return jax.vmap(jax.random.categorical)(rng, logits).astype(jnp.int32)

    def work(self, entries: int, *, slots: int, steps: int) -> Work:
        """What so many entries of so many slots each cost."""
        return one_by_one(entries, slots=slots)


@dataclasses.dataclass(frozen=True)
class Vector:
    """The end of the path's velocity from noise, which the head predicts; the backbone is run once.

    The temperature scales the noise.
    """

    path: Rectified

    def __call__(
        self, rng: Key[Array, "B"], predict: Predict, *, brushes: Brushes, size: tuple[int, ...], most: int
    ) -> Float[Array, "B P"]:
        """size: of an entry. most: room of the timetable."""
        noise = jax.vmap(lambda key: jax.random.normal(key, size))(rng)
        times = solvers.timetable(brushes.steps, brushes.shift, most=most)

        def velocity(x, t):
            return self.path.velocity(predict(Draft(x[:, None], t[:, None])), x, t)

        return solvers.euler(velocity, over(brushes.temperature, noise) * noise, times, steps=brushes.steps.max())

    def work(self, entries: int, *, slots: int, steps: int) -> Work:
        """What so many entries of so many slots each cost."""
        return one_by_one(entries, slots=slots, reads=steps)
