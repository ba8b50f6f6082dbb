"""Resampling of a grid of values, as weights: how much every source row counts at one row of the target.

    target_i = sum_j w_j(x_i) source_j,     x_i = (i + 1/2) * source / target - 1/2     (centres of cells)

Weights are elementwise in i and in the target's size, so that slots of pictures of different grids resample one table
side by side, under jit too. The four kinds are those of PyTorch's ``interpolate(align_corners=False)``: ``linear`` and
``cubic`` are its bilinear and bicubic without antialiasing, ``smooth_linear`` and ``smooth_cubic`` those with it, whose
window grows with the factor of a reduction.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import AnyArray, Array, Float, Int

Weights = Callable[..., Array]  # like ``cubic``


def cubic(index: Int[AnyArray, "..."], size: Int[AnyArray, "..."], *, source: int) -> Float[Array, "... R"]:
    """Weights of every source row at row ``index`` of ``size``; rows beyond the edge repeat the edge's."""
    return _sharp(lambda x: _keys(x, a=-0.75), index, size, source=source, reach=2)


def linear(index: Int[AnyArray, "..."], size: Int[AnyArray, "..."], *, source: int) -> Float[Array, "... R"]:
    """Weights of every source row at row ``index`` of ``size``; rows beyond the edge repeat the edge's."""
    return _sharp(_tent, index, size, source=source, reach=1)


def smooth_linear(index: Int[AnyArray, "..."], size: Int[AnyArray, "..."], *, source: int) -> Float[Array, "... R"]:
    """Weights of every source row at row ``index`` of ``size``; rows beyond the edge count nothing."""
    return _smooth(_tent, index, size, source=source)


def smooth_cubic(index: Int[AnyArray, "..."], size: Int[AnyArray, "..."], *, source: int) -> Float[Array, "... R"]:
    """Weights of every source row at row ``index`` of ``size``; rows beyond the edge count nothing."""
    return _smooth(lambda x: _keys(x, a=-0.5), index, size, source=source)


def areas(source: int, target: int) -> Float[Array, "r h"]:
    """Weights that average, for each target cell, the source cells that it touches."""
    cells = np.arange(target)[:, None]
    first, last = cells * source // target, -(-(cells + 1) * source // target)
    touched = (np.arange(source) >= first) & (np.arange(source) < last)
    return jnp.asarray(touched / touched.sum(1, keepdims=True), jnp.float32)


def sample(
    table: Float[AnyArray, "R C D"], place: Int[AnyArray, "B T 2"], grid: Int[AnyArray, "B T 2"], *, weights: Weights
) -> Float[Array, "B T D"]:
    """The table, resized to each slot's grid (rows, columns), at the slot's place (row, column) in it; float32."""
    rows = weights(place[..., 0], grid[..., 0], source=table.shape[0])
    columns = weights(place[..., 1], grid[..., 1], source=table.shape[1])
    both = (rows[..., :, None] * columns[..., None, :]).reshape(*place.shape[:2], -1)
    return both @ table.astype(jnp.float32).reshape(both.shape[-1], -1)


def _sharp(
    kernel: Callable[[Array], Array],
    index: Int[AnyArray, "..."],
    size: Int[AnyArray, "..."],
    *,
    source: int,
    reach: int,
) -> Float[Array, "... R"]:
    centre = _centre(index, size, source=source)[..., None]
    taps = jnp.floor(centre) + jnp.arange(1.0 - reach, 1.0 + reach)
    row = jnp.clip(taps, 0, source - 1)
    return jnp.sum(kernel(jnp.abs(centre - taps))[..., None] * (row[..., None] == jnp.arange(source)), -2)


def _smooth(
    kernel: Callable[[Array], Array], index: Int[AnyArray, "..."], size: Int[AnyArray, "..."], *, source: int
) -> Float[Array, "... R"]:
    stretch = jnp.maximum(source / jnp.asarray(size, jnp.float32), 1.0)[..., None]
    distance = jnp.abs(_centre(index, size, source=source)[..., None] - jnp.arange(source))
    weights = kernel(distance / stretch)
    return weights / jnp.sum(weights, -1, keepdims=True)


def _centre(index: Int[AnyArray, "..."], size: Int[AnyArray, "..."], *, source: int) -> Float[Array, "..."]:
    return (jnp.asarray(index, jnp.float32) + 0.5) * (source / jnp.asarray(size, jnp.float32)) - 0.5


def _tent(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Linear interpolation's kernel at distance x."""
    return jnp.maximum(1.0 - x, 0.0)


def _keys(x: Float[Array, "..."], *, a: float) -> Float[Array, "..."]:
    """The cubic convolution kernel at distance x, of slope ``a`` at 1 (Keys, 1981, eq. 4)."""
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return jnp.where(x <= 1, near, jnp.where(x < 2, far, 0.0))
