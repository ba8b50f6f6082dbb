"""Noise paths and time samplers, read by training and sampling alike so that the two cannot drift apart.

The canonical time is 0 at clean data and 1 at noise.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, Float, PRNGKeyArray


@dataclasses.dataclass(frozen=True)
class Rectified:
    """The straight path x_t = (1 - t) x + t e with velocity e - x (arXiv:2209.03003, eq. 1; SD3 arXiv:2403.03206, 2).

    prediction: what the network's output means, "velocity" or "clean" (the data itself, arXiv:2511.13720, section 3).
    floor: the least t that weighs a clean prediction's error by 1 / t^2, which is the error of its velocity.
    """

    prediction: str = "velocity"
    floor: float = 0.05

    def __post_init__(self):
        if self.prediction not in ("velocity", "clean"):
            raise ValueError(f"prediction must be 'velocity' or 'clean', found {self.prediction!r}")

    def corrupt(self, x: Float[Array, "*#n P"], noise: Float[Array, "*#n P"], t: Float[Array, "*#n"]) -> Array:
        """x_t."""
        t = t[..., None]
        return (1 - t) * x + t * noise

    def target(self, x: Float[Array, "*#n P"], noise: Float[Array, "*#n P"]) -> Array:
        """What an exact network would output."""
        return x if self.prediction == "clean" else noise - x

    def weight(self, t: Float[Array, "*#n"]) -> Float[Array, "*#n"]:
        """What turns a squared error of the output into one of the velocity."""
        return jnp.maximum(t, self.floor) ** -2 if self.prediction == "clean" else jnp.ones_like(t)

    def velocity(self, output: Float[Array, "*#n P"], x_t: Float[Array, "*#n P"], t: Float[Array, "*#n"]) -> Array:
        """dx/dt at x_t from the network's output; t > 0."""
        return output if self.prediction == "velocity" else (x_t - output) / t[..., None]


def uniform(rng: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """t ~ U(0, 1)."""
    return jax.random.uniform(rng, shape)


def logit_normal(rng: PRNGKeyArray, shape: tuple[int, ...], *, mean: float = 0.0, std: float = 1.0) -> Array:
    """t = sigmoid(mean + std n), n normal (SD3, arXiv:2403.03206, eq. 19)."""
    return jax.nn.sigmoid(mean + std * jax.random.normal(rng, shape))


def shift(t: Float[Array, "..."], factor: Float[Array, "..."] | float) -> Float[Array, "..."]:
    """Moves times towards noise: factor t / (1 + (factor - 1) t) (SD3, arXiv:2403.03206, eq. 23)."""
    return factor * t / (1 + (factor - 1) * t)


TimeSampler = Callable[[PRNGKeyArray, tuple[int, ...]], Array]
