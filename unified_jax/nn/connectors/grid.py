"""Connector: states of an encoder -> what a language model reads in their place, [B T D] -> [B N F].

    connector(x, grid=(rows, columns))        x: T = rows * columns places in reading order
    connector(x, grid=(frames, rows, columns))

The grid is static, so that N is. A tower's tokens before the patches (class token, registers) are no part of x.
"""

import math
from typing import Protocol, runtime_checkable

from unified_jax.core.types import Array, Float

Grid = tuple[int, ...]


@runtime_checkable
class Connector(Protocol):
    """Any Linen module called so."""

    def __call__(self, x: Float[Array, "B T D"], *, grid: Grid) -> Float[Array, "B N F"]:
        """Raises ValueError for a grid that does not fit."""


def on_grid(x: Float[Array, "B T D"], grid: Grid) -> Float[Array, "B ... D"]:
    """[B T D] -> [B rows columns D]. Raises ValueError where the grid has another number of places."""
    if math.prod(grid) != x.shape[1]:
        raise ValueError(f"a grid of {' x '.join(map(str, grid))} places does not fit {x.shape[1]} states")
    return x.reshape(x.shape[0], *grid, x.shape[-1])


def in_blocks(x: Float[Array, "B T D"], grid: Grid, size: int) -> Float[Array, "B N P D"]:
    """The size * size places of each block of the grid, blocks and places in reading order.

    Raises ValueError for a grid that does not divide into blocks.
    """
    if any(side % size for side in grid[-2:]):
        raise ValueError(f"a grid of {' x '.join(map(str, grid))} does not divide into blocks of {size} x {size}")
    *frames, rows, columns = grid
    blocks = on_grid(x, grid).reshape(-1, rows // size, size, columns // size, size, x.shape[-1]).swapaxes(2, 3)
    return blocks.reshape(x.shape[0], -1, size * size, x.shape[-1])
