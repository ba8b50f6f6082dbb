"""The exact step of the diffusion ODE or SDE while the estimated data stays the same (DPM-Solver++, arXiv:2211.01095).

With h the growth of ln(alpha / sigma) and q = e^-h = (sigma_s / alpha_s) / (sigma_t / alpha_t) < 1 (eq. 9 and, for the
SDE, eq. 19):

    x_s = sigma_s / sigma_t q^eta x_t + alpha_s (1 - q^(1 + eta)) x + sigma_s sqrt(1 - q^(2 eta)) noise

eta 0 is the ODE, 1 the SDE. Methods of higher order differ in the x they put in.
"""

import jax.numpy as jnp

from unified_jax.core.noise.point import Point, over
from unified_jax.core.types import Array, Float


def hold(
    x: Float[Array, "..."],
    clean: Float[Array, "..."],
    *,
    here: Point,
    there: Point,
    eta: float = 0.0,
    noise: Float[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    """x at ``there``."""
    here, there = here.over(x), there.over(x)
    q = there.ratio / here.ratio
    mean = there.sigma / here.sigma * q**eta * x + there.alpha * (1 - q ** (1 + eta)) * clean
    return mean if noise is None else mean + there.sigma * jnp.sqrt(1 - q ** (2 * eta)) * noise


def growth(here: Point, there: Point) -> Float[Array, "..."]:
    """h, the growth of ln(alpha / sigma); infinite from pure noise and to clean data."""
    return jnp.log(here.ratio / there.ratio)


def slope(
    clean: Float[Array, "..."],
    before: Float[Array, "..."],
    *,
    h: Float[Array, "..."],
    h_before: Float[Array, "..."],
) -> Float[Array, "..."]:
    """By how much the data estimate grows over h if it goes on as it grew over the interval before."""
    return over(h / h_before, clean) * (clean - before)
