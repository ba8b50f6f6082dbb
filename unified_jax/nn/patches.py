"""Patches of a grid of any number of axes (pictures, videos), and back; channel last inside a patch."""

import math
from collections.abc import Sequence

from unified_jax.core.types import AnyArray, Shaped


def to_patches(x: Shaped[AnyArray, "B *grid C"], sizes: Sequence[int]) -> Shaped[AnyArray, "B N *patch C"]:
    """[B H W C] -> [B N p q C] in reading order, [B F H W C] -> [B N f p q C].

    Raises ValueError for a grid that is not whole patches.
    """
    grid, count = x.shape[1:-1], len(sizes)
    if len(grid) != count or any(side < size or side % size for side, size in zip(grid, sizes)):
        raise ValueError(f"latents of {_by(grid)}: every side must be a positive multiple of the patch, {_by(sizes)}")
    apart = [n for side, size in zip(grid, sizes) for n in (side // size, size)]
    x = x.reshape(x.shape[0], *apart, x.shape[-1])
    order = [0, *range(1, 2 * count, 2), *range(2, 2 * count + 1, 2), 2 * count + 1]
    return x.transpose(order).reshape(x.shape[0], math.prod(apart[::2]), *sizes, x.shape[-1])


def from_patches(x: Shaped[AnyArray, "B N *patch C"], grid: Sequence[int]) -> Shaped[AnyArray, "B *grid C"]:
    """The inverse; grid: how many patches along each axis."""
    sizes, count = x.shape[2:-1], len(grid)
    x = x.reshape(x.shape[0], *grid, *sizes, x.shape[-1])
    order = [0, *(axis for i in range(1, count + 1) for axis in (i, i + count)), 2 * count + 1]
    return x.transpose(order).reshape(x.shape[0], *(n * size for n, size in zip(grid, sizes)), x.shape[-1])


def _by(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))
