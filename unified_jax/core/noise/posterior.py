"""The posterior of a Gaussian path: the law of x_s given x_t and the data, s nearer the data than t.

With r = alpha_t / alpha_s, the variance beta = sigma_t^2 - r^2 sigma_s^2 leads from s to t, and the posterior has

    variance (sigma_s / sigma_t)^2 beta,    mean (alpha_s beta x + r sigma_s^2 x_t) / sigma_t^2

(DDPM, arXiv:2006.11239, eq. 7). Read by ancestral sampling and by the variational bound alike.
"""

import jax.numpy as jnp

from unified_jax.core.noise.point import Point
from unified_jax.core.types import Array, Float


def added(here: Point, there: Point) -> Float[Array, "..."]:
    """beta, without the cancellation of nearly equal squares. here: at t; there: at s."""
    ratio = here.alpha / there.alpha
    return (here.sigma - ratio * there.sigma) * (here.sigma + ratio * there.sigma)


def mean(clean: Float[Array, "..."], x_t: Float[Array, "..."], *, here: Point, there: Point) -> Float[Array, "..."]:
    """E[x_s | x_t, x]."""
    here, there = here.over(x_t), there.over(x_t)
    ratio = here.alpha / there.alpha
    return (there.alpha * added(here, there) * clean + ratio * there.sigma**2 * x_t) / here.sigma**2


def log_variance(here: Point, there: Point, *, between: Float[Array, "..."] | float = 0.0) -> Float[Array, "..."]:
    """Of the posterior (0), of beta (1), or between the two (improved DDPM, arXiv:2102.09672, eq. 15)."""
    return jnp.log(added(here, there)) + 2 * (1 - between) * jnp.log(there.sigma / here.sigma)
