"""Large pictures and videos through a codec in overlapping tiles of space, so that memory does not grow with the sides.

    y = sum_t w_t run(x_t)        sum_t w_t = 1 at every place, w_t falling linearly over the overlap

All tiles have one shape (the last of a row moves inwards instead of shrinking), so one program is compiled, and runs in
turns. Exact where nothing looks beyond its own tile; what a codec would have seen further off, by convolutions or by
attention, makes the difference from the undivided result.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import Array, Float, Int


def in_tiles(run: Callable[[Array], Any], x: Float[Array, "B *grid C"], *, tile: int, overlap: int) -> Any:
    """``run`` over tiles of ``tile`` x ``tile`` places (the last two axes before the channels), blended.

    run: a tile -> arrays [... h w D] in any structure, both sides larger or smaller by one factor. overlap: of
    neighbouring tiles, in places of x. Sides, tile and overlap must be multiples of what the factor takes; a side
    shorter than ``tile`` is not divided. Raises ValueError for an overlap that leaves no step from tile to tile.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"tiles of {tile} places can overlap by 0 to {tile - 1}, not {overlap}")
    sides = np.array(x.shape[-3:-1])
    sizes = np.minimum(sides, tile)
    shape = (*x.shape[:-3], *sizes.tolist(), x.shape[-1])
    made = jax.eval_shape(run, jax.ShapeDtypeStruct(shape, x.dtype))
    factor = Fraction(jax.tree.leaves(made)[0].shape[-2], shape[-2])
    grow = lambda n: n * factor.numerator // factor.denominator
    corners, weights = _layout(sides, sizes, overlap, grow)

    def add(total: Any, each: tuple[Array, Array]) -> tuple[Any, None]:
        corner, weight = each
        part = run(jax.lax.dynamic_slice(x, _start(corner, x.ndim), shape))
        part = jax.tree.map(lambda y: y * weight[..., None].astype(y.dtype), part)
        return jax.tree.map(partial(_add, corner=grow(corner)), total, part), None

    empty = jax.tree.map(lambda y: jnp.zeros((*y.shape[:-3], *map(int, grow(sides)), y.shape[-1]), y.dtype), made)
    return jax.lax.scan(add, empty, (corners, weights))[0]


def _layout(
    sides: Int[np.ndarray, "2"], sizes: Int[np.ndarray, "2"], overlap: int, grow: Callable[[Any], Any]
) -> tuple[Int[np.ndarray, "T 2"], Float[np.ndarray, "T h w"]]:
    """The corner of every tile in x, and its weights in the result."""
    rows, columns = (_starts(side, size, overlap) for side, size in zip(sides.tolist(), sizes.tolist()))
    down, across = (
        _weights(grow(begin), size=int(grow(size)), overlap=int(grow(overlap)))
        for begin, size in zip((rows, columns), sizes)
    )
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    weights = np.einsum("ah,bw->abhw", down, across)
    return corners.astype(np.int32), weights.reshape(len(corners), *weights.shape[2:])


def _starts(side: int, size: int, overlap: int) -> Int[np.ndarray, "T"]:
    """Where the tiles along a side begin; the last one ends where the side does."""
    begin = np.arange(0, max(side - overlap, 1), max(size - overlap, 1))
    return np.unique(np.minimum(begin, side - size))


def _weights(starts: Int[np.ndarray, "T"], *, size: int, overlap: int) -> Float[np.ndarray, "T h"]:
    """Along a side, the weight of each place of each tile: a ramp over the overlap, and at every place 1 in all."""
    place = np.arange(1, size + 1)
    ramp = np.minimum(1, np.minimum(place, place[::-1]) / (overlap + 1))
    covered = np.zeros(starts[-1] + size)
    for start in starts:
        covered[start : start + size] += ramp
    return np.stack([ramp / covered[start : start + size] for start in starts]).astype(np.float32)


def _add(total: Array, part: Array, corner: Array) -> Array:
    at = _start(corner, part.ndim)
    return jax.lax.dynamic_update_slice(total, jax.lax.dynamic_slice(total, at, part.shape) + part, at)


def _start(corner: Array, rank: int) -> tuple[Array | int, ...]:
    """A corner in rows and columns as the start of a slice of an array of this rank, channels last."""
    return (*[0] * (rank - 3), corner[0], corner[1], 0)
