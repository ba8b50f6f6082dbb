"""Grouped matrix products: rows sorted by expert, each group times the matrix of its own expert.

    out[r] = x[r] @ kernel[e]   for the rows r of group e;  rows after the last group belong to no expert

On GPU this is ``jax.lax.ragged_dot``. On CPU and for some TPUs, XLA lowers that to one masked dense product for each
expert, E times the work; ``tiled_dot`` and ``expert_kernel.kernel_dot`` do only the work there is.
"""

import functools

import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.expert_kernel import kernel_dot


@jax.custom_vjp
def grouped_dot(
    x: Float[Array, "N D"], kernel: Float[Array, "E D F"], group_sizes: Int[Array, "E"]
) -> Float[Array, "N F"]:
    """``kernel_dot``, ``tiled_dot`` or ``ragged_dot``, whichever suits the platform the program is lowered for.

    Rows after the last group come out as anything finite or not: the caller drops them.
    """
    return jax.lax.platform_dependent(x, kernel, group_sizes, **CHOICES)


def _backward(residuals: tuple[Array, Array, Array], cotangent: Array) -> tuple[Array, Array, None]:
    """Differentiates inside the choice: differentiating the choice would keep the residuals of both sides."""

    def pull(dot):
        return lambda x, kernel, sizes, y: jax.vjp(lambda x, kernel: dot(x, kernel, sizes), x, kernel)[1](y)

    choices = {platform: pull(dot) for platform, dot in CHOICES.items()}
    return *jax.lax.platform_dependent(*residuals, cotangent, **choices), None


grouped_dot.defvjp(lambda x, kernel, sizes: (grouped_dot(x, kernel, sizes), (x, kernel, sizes)), _backward)


def tiled_dot(
    x: Float[Array, "N D"], kernel: Float[Array, "E D F"], group_sizes: Int[Array, "E"], *, tile: int | None = None
) -> Float[Array, "N F"]:
    """A loop over tiles of rows, each for one group. A group's last tile reads on into the next group, whose own tiles
    come later and overwrite what it wrote there: a group wastes less than ``tile`` rows, an empty one none.

    tile: rows of one product, see ``tile_rows``.
    """
    return _tiled(x, kernel, group_sizes, tile or tile_rows(len(x), len(kernel)))


def tile_rows(rows: int, groups: int) -> int:
    """A tenth of the mean group, so that at most a tenth of the work is wasted, but 16 to 128: smaller products run at
    a fraction of the speed, larger ones no faster. Not more than the mean group: one token must not pay for 16.
    """
    mean = -(-rows // groups)
    return min(max(mean // 10 // 8 * 8, 16), 128, mean)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _tiled(x: Array, kernel: Array, sizes: Array, tile: int) -> Array:
    padded = jnp.pad(x, ((0, tile), (0, 0)))

    def product(group, start, end, out):
        y = jax.lax.dynamic_slice_in_dim(padded, start, tile) @ kernel[group]
        return jax.lax.dynamic_update_slice_in_dim(out, y, start, 0)

    empty = jnp.zeros((len(padded), kernel.shape[-1]), x.dtype)
    return _each_tile(product, empty, sizes=sizes, tile=tile)[: len(x)]


def _outer(x: Array, y: Array, sizes: Array, tile: int) -> Array:
    """The gradient of the kernels: the sum over each group's rows of x[r]^T y[r], float32 [E D F]."""
    x, y = (jnp.pad(array, ((0, tile), (0, 0))) for array in (x, y))

    def product(group, start, end, out):
        inside = (start + jnp.arange(tile) < end)[:, None]
        rows = jnp.where(inside, jax.lax.dynamic_slice_in_dim(x, start, tile), 0)
        cotangent = jax.lax.dynamic_slice_in_dim(y, start, tile)
        total = out[group] + jnp.matmul(rows.T, cotangent, preferred_element_type=jnp.float32)
        return jax.lax.dynamic_update_index_in_dim(out, total, group, 0)

    return _each_tile(product, jnp.zeros((len(sizes), x.shape[1], y.shape[1])), sizes=sizes, tile=tile)


def _each_tile(product, out: Array, *, sizes: Array, tile: int) -> Array:
    """Applies product(group, first row, end of the group, out) to every tile in order of rows."""
    ends, tiles = jnp.cumsum(sizes), -(-sizes // tile)
    last = jnp.cumsum(tiles)

    def body(i, out):
        group = (last <= i).sum()
        start = ends[group] - sizes[group] + (i - last[group] + tiles[group]) * tile
        return product(group, start, ends[group], out)

    # The number of tiles is known only when the sizes are, hence no scan, and gradients by hand.
    return jax.lax.fori_loop(0, last[-1], body, out)


def _tiled_backward(tile: int, residuals: tuple[Array, Array, Array], y: Array) -> tuple[Array, Array, None]:
    x, kernel, sizes = residuals
    return (
        _tiled(y, kernel.transpose(0, 2, 1), sizes, tile),
        _outer(x, y, sizes, tile).astype(kernel.dtype),
        None,
    )


_tiled.defvjp(
    lambda x, kernel, sizes, tile: (_tiled(x, kernel, sizes, tile), (x, kernel, sizes)),
    _tiled_backward,
)


CHOICES = {"cpu": tiled_dot, "tpu": kernel_dot, "default": jax.lax.ragged_dot}
