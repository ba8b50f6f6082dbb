"""Resampling of a grid of values, as weights: how much every source row counts at one row of the target.

    target_i = sum_j w_j(x_i) source_j,     x_i = (i + 1/2) * source / target - 1/2     (centres of cells)

Weights are elementwise in i and in the target's size, so that slots of pictures of different grids resample one table
side by side, under jit too. The three kinds are those of PyTorch's ``interpolate(align_corners=False)``: ``cubic`` is
its bicubic without antialiasing, ``smooth_triangle`` and ``smooth_cubic`` its bilinear and bicubic with it, whose
window grows with the factor of a reduction.
"""

from collections.abc import Callable

import jax.numpy as jnp

from unified_jax.core.types import Array, Float, Int

Weights = Callable[..., Array]  # like ``cubic``


def cubic(index: Int[Array, "..."], size: Int[Array, "..."], *, source: int) -> Float[Array, "... R"]:
    """Weights of every source row at row ``index`` of ``size``; rows beyond the edge repeat the edge's."""
    centre = _centre(index, size, source=source)
    taps = jnp.floor(centre)[..., None] + jnp.arange(-1.0, 3.0)
    weights = _keys(jnp.abs(centre[..., None] - taps), a=-0.75)
    row = jnp.clip(taps, 0, source - 1)
    return jnp.sum(weights[..., None] * (row[..., None] == jnp.arange(source)), -2)


def smooth_triangle(index: Int[Array, "..."], size: Int[Array, "..."], *, source: int) -> Float[Array, "... R"]:
    """Weights of every source row at row ``index`` of ``size``; rows beyond the edge count nothing."""
    return _smooth(lambda x: jnp.maximum(1.0 - x, 0.0), index, size, source=source)


def smooth_cubic(index: Int[Array, "..."], size: Int[Array, "..."], *, source: int) -> Float[Array, "... R"]:
    """Weights of every source row at row ``index`` of ``size``; rows beyond the edge count nothing."""
    return _smooth(lambda x: _keys(x, a=-0.5), index, size, source=source)


def sample(
    table: Float[Array, "R C D"], place: Int[Array, "B T 2"], grid: Int[Array, "B T 2"], *, weights: Weights
) -> Float[Array, "B T D"]:
    """The table, resized to each slot's grid (rows, columns), at the slot's place (row, column) in it; float32."""
    rows = weights(place[..., 0], grid[..., 0], source=table.shape[0])
    columns = weights(place[..., 1], grid[..., 1], source=table.shape[1])
    both = (rows[..., :, None] * columns[..., None, :]).reshape(*place.shape[:2], -1)
    return both @ table.astype(jnp.float32).reshape(both.shape[-1], -1)


def _smooth(
    kernel: Callable[[Array], Array], index: Int[Array, "..."], size: Int[Array, "..."], *, source: int
) -> Float[Array, "... R"]:
    stretch = jnp.maximum(source / size.astype(jnp.float32), 1.0)[..., None]
    distance = jnp.abs(_centre(index, size, source=source)[..., None] - jnp.arange(source))
    weights = kernel(distance / stretch)
    return weights / jnp.sum(weights, -1, keepdims=True)


def _centre(index: Int[Array, "..."], size: Int[Array, "..."], *, source: int) -> Float[Array, "..."]:
    return (index.astype(jnp.float32) + 0.5) * (source / size.astype(jnp.float32)) - 0.5


def _keys(x: Float[Array, "..."], *, a: float) -> Float[Array, "..."]:
    """The cubic convolution kernel at distance x, of slope ``a`` at 1 (Keys, 1981, eq. 4)."""
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return jnp.where(x <= 1, near, jnp.where(x < 2, far, 0.0))
