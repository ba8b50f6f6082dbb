"""Pictures: patches of any number of pictures of any size, packed in rows (NaViT, arXiv:2307.06304, section 2).

A picture is its patches in reading order, channel last inside a patch, as in ``codecs/patch.py``. Which picture a patch
belongs to is its ``doc``, so the one mask rule keeps packed pictures apart.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import struct

from unified_jax.core.types import AnyArray, Array, Bool, Float, Leaf, Shaped


@struct.dataclass
class Pictures:
    """Rows of patches.

    patches: float [B T P], normalised pixels. doc: int32 [B T], picture of the row, from 1; 0 marks an empty slot.
    place: int32 [B T 2], row and column in the picture's grid. grid: int32 [B T 2], that grid's rows and columns.
    count: the most pictures in any row.
    """

    patches: Leaf
    doc: Leaf
    place: Leaf
    grid: Leaf
    count: int = struct.field(pytree_node=False, default=1)


def patchify(pixels: Float[AnyArray, "B H W 3"], size: int) -> Pictures:
    """One picture to a row. Raises ValueError for a side that is not a positive multiple of ``size``."""
    batch, height, width, channels = pixels.shape
    if min(height, width) < size or height % size or width % size:
        raise ValueError(f"image of {width}x{height} pixels: both sides must be positive multiples of {size}")
    rows, columns = height // size, width // size
    patches = pixels.reshape(batch, rows, size, columns, size, channels).swapaxes(2, 3)
    return of_patches(patches.reshape(batch, rows * columns, -1), (rows, columns))


def of_patches(patches: Float[AnyArray, "B T P"], grid: tuple[int, int]) -> Pictures:
    """One whole picture of ``grid`` to a row."""
    every = lambda x: np.broadcast_to(np.asarray(x, np.int32), (len(patches), *np.shape(x)))
    place = np.stack(np.indices(grid), -1).reshape(-1, 2)
    return Pictures(
        patches=patches,
        doc=every(np.ones(len(place))),
        place=every(place),
        grid=every(np.broadcast_to(grid, place.shape)),
    )


def pack_pictures(rows: Sequence[Sequence[Float[np.ndarray, "_ _ 3"]]], *, size: int, capacity: int) -> Pictures:
    """Several pictures [H W 3] to a row, in order, the rest of its ``capacity`` slots empty.

    Raises ValueError for a row that does not fit, and as ``patchify``.
    """
    packed = [[patchify(pixels[None], size) for pixels in row] for row in rows]
    for row in packed:
        if (found := sum(picture.doc.shape[1] for picture in row)) > capacity:
            raise ValueError(f"pictures of {found} patches do not fit a row of {capacity}")
    width = 3 * size**2
    return Pictures(
        patches=_rows([[p.patches[0] for p in row] for row in packed], (capacity, width), np.float32),
        doc=_rows([[n * p.doc[0] for n, p in enumerate(row, 1)] for row in packed], (capacity,), np.int32),
        place=_rows([[p.place[0] for p in row] for row in packed], (capacity, 2), np.int32),
        grid=_rows([[p.grid[0] for p in row] for row in packed], (capacity, 2), np.int32, blank=1),
        count=max(map(len, packed)),
    )


def _rows(
    rows: Sequence[Sequence[Shaped[np.ndarray, "..."]]], shape: tuple[int, ...], dtype: type, *, blank: int = 0
) -> Shaped[np.ndarray, "B T ..."]:
    filled = np.full((len(rows), *shape), blank, dtype)
    for into, parts in zip(filled, rows):
        if parts:
            joined = np.concatenate(parts)
            into[: len(joined)] = joined
    return filled


def of_picture(doc: Shaped[Array, "B T"], count: int) -> Bool[Array, "B N T"]:
    """Which slots belong to each of the first ``count`` pictures of a row."""
    return doc[:, None] == jnp.arange(1, count + 1)[:, None]
