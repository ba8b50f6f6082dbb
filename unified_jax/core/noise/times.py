"""Time samplers: at which times of the path a network is trained."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from unified_jax.core.noise.path import Path
from unified_jax.core.types import Array, Float, PRNGKeyArray

TimeSampler = Callable[[PRNGKeyArray, tuple[int, ...]], Array]


def uniform(rng: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """t ~ U(0, 1)."""
    return jax.random.uniform(rng, shape)


def logit_normal(rng: PRNGKeyArray, shape: tuple[int, ...], *, mean: float = 0.0, std: float = 1.0) -> Array:
    """t = sigmoid(mean + std n), n normal (SD3, arXiv:2403.03206, eq. 19)."""
    return jax.nn.sigmoid(mean + std * jax.random.normal(rng, shape))


def mode(rng: PRNGKeyArray, shape: tuple[int, ...], *, scale: float = 1.29) -> Array:
    """t = 1 - u - scale (cos^2(pi u / 2) - 1 + u): denser in the middle for scale > 0 (arXiv:2403.03206, eq. 20)."""
    u = jax.random.uniform(rng, shape)
    return 1 - u - scale * (jnp.cos(jnp.pi / 2 * u) ** 2 - 1 + u)


def cosmap(rng: PRNGKeyArray, shape: tuple[int, ...]) -> Array:
    """t = 1 - 1 / (tan(pi u / 2) + 1): the noise levels of the cosine schedule (arXiv:2403.03206, eq. 21)."""
    return 1 - 1 / (jnp.tan(jnp.pi / 2 * jax.random.uniform(rng, shape)) + 1)


def level(rng: PRNGKeyArray, shape: tuple[int, ...], *, levels: int = 1000) -> Array:
    """One of the levels of a table, all alike: t = (i + 1) / levels."""
    return (1.0 + jax.random.randint(rng, shape, 0, levels)) / levels


def log_normal(rng: PRNGKeyArray, shape: tuple[int, ...], *, path: Path, mean: float = -1.2, std: float = 1.2) -> Array:
    """The time of ``path`` at which ln(sigma / alpha) ~ N(mean, std^2) (EDM, arXiv:2206.00364, table 1)."""
    return jnp.minimum(path.time(jnp.exp(mean + std * jax.random.normal(rng, shape))), 1.0)
