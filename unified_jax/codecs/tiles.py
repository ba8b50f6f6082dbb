"""Large pictures and videos through a codec in overlapping tiles of space, so that memory does not grow with the sides.

    y = sum_t w_t run(x_t) / sum_t w_t        w_t falls linearly over the overlap, towards the edges of tile t

All tiles have one shape (the last of a row moves inwards instead of shrinking), so one program is compiled, and runs in
turns. Exact where a codec looks less far than the overlap's weight reaches; what it sees beyond, above all by attention
over a whole picture, makes the difference from the undivided result.
"""

import itertools
from collections.abc import Callable
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import Array, Float


def in_tiles(
    run: Callable[[Array], Array], x: Float[Array, "B *grid C"], *, tile: int, overlap: int
) -> Float[Array, "B *grid D"]:
    """``run`` over tiles of ``tile`` x ``tile`` places (the last two axes before the channels), blended.

    run: a tile -> its result, both sides larger or smaller by one factor. overlap: of neighbouring tiles, in places of
    x. Sides, tile and overlap must be multiples of what the factor takes; a side shorter than ``tile`` is not divided.
    Raises ValueError for an overlap that leaves no step from tile to tile.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"tiles of {tile} places can overlap by 0 to {tile - 1}, not {overlap}")
    sides = x.shape[-3:-1]
    sizes = [min(tile, side) for side in sides]
    starts = [_starts(side, size, overlap) for side, size in zip(sides, sizes)]
    made = jax.eval_shape(run, jax.ShapeDtypeStruct((*x.shape[:-3], *sizes, x.shape[-1]), x.dtype))
    factor = Fraction(made.shape[-2], sizes[1])
    ramps = [_ramp(int(size * factor), int(overlap * factor)) for size in sizes]
    weight = np.multiply.outer(*ramps)[..., None]

    def add(total: Array, corner: Array) -> tuple[Array, None]:
        part = run(jax.lax.dynamic_slice(x, _at(corner, x.ndim), (*x.shape[:-3], *sizes, x.shape[-1])))
        at = _at(corner * factor.numerator // factor.denominator, part.ndim)
        return jax.lax.dynamic_update_slice(total, jax.lax.dynamic_slice(total, at, part.shape) + part * weight, at), None

    shape = (*made.shape[:-3], *[int(side * factor) for side in sides], made.shape[-1])
    corners = jnp.asarray(list(itertools.product(*starts)), jnp.int32)
    total, _ = jax.lax.scan(add, jnp.zeros(shape, made.dtype), corners)
    covered = [
        sum(np.pad(ramp, (int(start * factor), int((side - start) * factor) - len(ramp))) for start in begin)
        for ramp, begin, side in zip(ramps, starts, sides)
    ]
    return total / np.multiply.outer(*covered)[..., None]


def _starts(side: int, size: int, overlap: int) -> list[int]:
    """Where the tiles along a side begin; the last one ends where the side does."""
    return sorted({min(start, side - size) for start in range(0, max(side - overlap, 1), size - overlap)})


def _ramp(size: int, overlap: int) -> Float[np.ndarray, "T"]:
    """Weights along a side of a tile: they rise over the first ``overlap`` places and fall over the last."""
    place = np.arange(1, size + 1, dtype=np.float32)
    return np.minimum(1, np.minimum(place, place[::-1]) / (overlap + 1))


def _at(corner: Array, rank: int) -> tuple[Array | int, ...]:
    """A corner in rows and columns as the start of a slice of an array of this rank, channels last."""
    return (*[0] * (rank - 3), corner[0], corner[1], 0)
