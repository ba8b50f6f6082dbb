"""Mask ratios: which share of a span is hidden at time t, read by training and sampling alike.

t = 0 is clean data (ratio 0), t = 1 is nothing but masks (ratio 1); MaskGIT's gamma(r) is the ratio at t = 1 - r
(arXiv:2202.04200, section 3.2 and figure 8; its concave and convex kinds alike).
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, Float

Ratio = Callable[[Array], Array]


def linear(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """t; the log-linear schedule of masked diffusion (MDLM, arXiv:2406.07524), the one of LLaDA (arXiv:2502.09992)."""
    return t


def cosine(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """sin(pi t / 2), which is MaskGIT's cos(pi r / 2)."""
    return jnp.sin(jnp.pi / 2 * t)


def square(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 - (1 - t)^2."""
    return 1 - jnp.square(1 - t)


def cubic(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 - (1 - t)^3."""
    return 1 - (1 - t) ** 3


def square_root(t: Float[Array, "..."]) -> Float[Array, "..."]:
    """1 - sqrt(1 - t)."""
    return 1 - jnp.sqrt(1 - t)


RATIOS: Mapping[str, Ratio] = {
    "linear": linear,
    "cosine": cosine,
    "square": square,
    "cubic": cubic,
    "square_root": square_root,
}


def find_ratio(name: str) -> Ratio:
    """A schedule by the name a config gives it. Raises ValueError for an unknown one."""
    if name not in RATIOS:
        raise ValueError(f"unknown mask ratio {name!r}; choose one of {', '.join(RATIOS)}")
    return RATIOS[name]


def slope(ratio: Ratio, t: Float[Array, "..."]) -> Float[Array, "..."]:
    """d ratio / dt."""
    return jax.jvp(ratio, (t,), (jnp.ones_like(t),))[1]
