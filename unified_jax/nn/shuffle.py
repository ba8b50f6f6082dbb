"""Blocks of places as channels, and the shortcuts without weights that are built from them (arXiv:2410.10733, 3.2).

    down    blocks to channels, then the mean of each group of neighbouring channels
    up      every channel repeated, then channels to blocks

Channels are in the order of the published codecs, [C block...], the block's own axes last.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp

from unified_jax.core.types import Array, Float


def to_channels(x: Float[Array, "B *grid C"], block: Sequence[int]) -> Float[Array, "B *smaller D"]:
    """A grid of blocks of these sides: the places of a block become channels. Sides must divide."""
    batch, *grid, channels = x.shape
    axes = range(len(block))
    x = x.reshape(batch, *[n for side, b in zip(grid, block, strict=True) for n in (side // b, b)], channels)
    x = x.transpose(0, *[1 + 2 * i for i in axes], x.ndim - 1, *[2 + 2 * i for i in axes])
    return x.reshape(batch, *[side // b for side, b in zip(grid, block)], channels * math.prod(block))


def from_channels(x: Float[Array, "B *grid D"], block: Sequence[int]) -> Float[Array, "B *larger C"]:
    """The inverse of ``to_channels``."""
    batch, *grid, channels = x.shape
    count = len(block)
    x = x.reshape(batch, *grid, channels // math.prod(block), *block)
    x = x.transpose(0, *[n for i in range(count) for n in (1 + i, 2 + count + i)], 1 + count)
    return x.reshape(batch, *[side * b for side, b in zip(grid, block, strict=True)], x.shape[-1])


def average_channels(x: Float[Array, "... C"], features: int) -> Float[Array, "... D"]:
    """The mean of each of ``features`` groups of neighbouring channels; ValueError when they do not divide."""
    if x.shape[-1] % features:
        raise ValueError(f"{x.shape[-1]} channels do not divide into {features} groups")
    return x.reshape(*x.shape[:-1], features, -1).mean(-1)


def repeat_channels(x: Float[Array, "... C"], features: int) -> Float[Array, "... D"]:
    """Every channel so often that there are ``features``; ValueError when they are no multiple."""
    if features % x.shape[-1]:
        raise ValueError(f"{features} channels are no multiple of {x.shape[-1]}")
    return jnp.repeat(x, features // x.shape[-1], -1)
