"""Blur: a fixed binomial filter before places are left out, so that small shifts change little (arXiv:1904.11486)."""

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import Array, Float

BINOMIAL = np.array([1.0, 2.0, 1.0]) / 4


def blur(x: Float[Array, "B H W C"], *, stride: int = 2, padding: int = 2) -> Float[Array, "B h w C"]:
    """Every ``stride``-th place of x, mirrored at its edges by ``padding``, after the 3 x 3 binomial filter.

    Raises ValueError for grids that cannot be mirrored so far.
    """
    if min(x.shape[1:3]) <= padding:
        raise ValueError(
            f"a grid of {x.shape[1]}x{x.shape[2]} places cannot be mirrored by {padding}; take larger pictures"
        )
    x = jnp.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), mode="reflect")
    kernel = jnp.asarray(np.outer(BINOMIAL, BINOMIAL), x.dtype)[:, :, None, None]
    return jax.lax.conv_general_dilated(
        x,
        jnp.tile(kernel, (1, 1, 1, x.shape[-1])),
        (stride, stride),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )
