"""The straight path x_t = (1 - t) x + t e of rectified flow (arXiv:2209.03003, eq. 1; arXiv:2403.03206, section 2)."""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.noise.path import Path
from unified_jax.core.noise.point import Point
from unified_jax.core.noise.prediction import VELOCITY, Prediction, gain
from unified_jax.core.types import Array, Float


@dataclasses.dataclass(frozen=True)
class Rectified(Path):
    """The straight path, whose velocity dx/dt is e - x.

    prediction: as in ``Path``; for the data itself ("clean"), arXiv:2511.13720, section 3.
    floor: the least t that weighs an output's error as one of its velocity, which for clean data is by 1 / t^2.
    """

    prediction: str | Prediction = "velocity"
    floor: float = 0.05

    def at(self, t: Float[Array, "..."]) -> Point:
        t = jnp.asarray(t)
        return Point(t, 1 - t, t)

    def time(self, ratio: Float[Array, "..."]) -> Float[Array, "..."]:
        return ratio / (1 + ratio)

    def weight(self, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        """What turns a squared error of the output into one of the velocity."""
        factor = gain(self.at(jnp.maximum(t, self.floor)), source=self.output, to=VELOCITY)
        return jnp.broadcast_to(jnp.square(factor), t.shape)

    def velocity(self, output: Float[Array, "*#n P"], x_t: Float[Array, "*#n P"], t: Float[Array, "*#n"]) -> Array:
        """dx/dt at x_t from the network's output; t > 0 where the output is the data itself."""
        return self.read(output, x_t, t=t, to=VELOCITY)
