"""Constrained vocabularies as data: which ids may follow is a half-open range for each position inside a blank.

one range                  the same ids everywhere: text ids in a text, codes in a picture
a range that wraps         all ids but those from its end to its beginning: text around the codes in one vocabulary
a range for each position  a picture with structure; a range of one id forces that id
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import Array, Bool, Int

Range = tuple[int, int]


def raster(rows: int, columns: int, *, codes: Range, end_of_row: int, tail: Sequence[int] = ()) -> tuple[Range, ...]:
    """The ranges of a picture whose every row of codes ends with a forced id, and which ends with the ids of ``tail``.

    Emu3 (arXiv:2409.18869, section 2.3) writes h rows of w codes this way, each with an end-of-line id, then
    end-of-frame and end-of-image ids: h * (w + 1) + 2 ids.
    """
    forced = lambda i: (i, i + 1)
    return (*(*[codes] * columns, forced(end_of_row)) * rows, *map(forced, tail))


def table(allowed: Sequence[Range | tuple[Range, ...]]) -> Int[np.ndarray, "F n 2"]:
    """Several fills' ranges by position as one array; the last of a fill's ranges holds from there on."""
    each = [np.atleast_2d(np.asarray(ranges, np.int32)) for ranges in allowed]
    longest = max(map(len, each))
    return np.stack([np.pad(x, ((0, longest - len(x)), (0, 0)), mode="edge") for x in each])


def may_follow(
    ranges: Int[np.ndarray, "F n 2"], fill: Int[Array, "B"], at: Int[Array, "B"], *, vocab: int
) -> Bool[Array, "B {vocab}"]:
    """Which ids each row may choose at position ``at`` of a blank of kind ``fill``."""
    low, high = jnp.moveaxis(jnp.asarray(ranges)[fill, jnp.minimum(at, ranges.shape[1] - 1)], -1, 0)
    ids = jnp.arange(vocab)
    above, below = ids >= low[:, None], ids < high[:, None]
    return jnp.where((low <= high)[:, None], above & below, above | below)
