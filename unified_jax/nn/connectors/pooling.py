"""Fewer places before a projection: averages, samples in between, or blocks of places side by side in one.

Each is a connector around another: ``AveragePool(2, then=Projection(576))``.
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.types import Array, Float
from unified_jax.nn.connectors.grid import Grid, in_blocks, on_grid
from unified_jax.nn.resample import linear


class AveragePool(nn.Module):
    """The mean of every factor * factor places."""

    factor: int
    then: nn.Module

    def __call__(self, x: Float[Array, "B T D"], *, grid: Grid) -> Float[Array, "B N F"]:
        return self.then(in_blocks(x, grid, self.factor).mean(2), grid=_reduced(grid, self.factor))


class BilinearPool(nn.Module):
    """A grid of 1 / factor the sides, rounded up, between whose four nearest places it is linear
    (LLaVA-OneVision's video frames, arXiv:2408.03326, 3.2).
    """

    factor: int
    then: nn.Module

    def __call__(self, x: Float[Array, "B T D"], *, grid: Grid) -> Float[Array, "B N F"]:
        smaller = _reduced(grid, self.factor)
        return self.then(resize(x, grid, smaller), grid=smaller)


class PixelShuffle(nn.Module):
    """Every factor * factor places as one of factor**2 the width, in reading order (InternVL 1.5, arXiv:2404.16821,
    3.1; with a norm of each place before, Qwen2-VL's merger, arXiv:2409.12191, 2.1).
    """

    factor: int
    then: nn.Module
    norm: Callable[..., nn.Module] | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], *, grid: Grid) -> Float[Array, "B N F"]:
        if self.norm is not None:
            x = self.norm(name="norm")(x)
        blocks = in_blocks(x, grid, self.factor)
        return self.then(blocks.reshape(*blocks.shape[:2], -1), grid=_reduced(grid, self.factor))


def resize(x: Float[Array, "B T D"], grid: Grid, smaller: Grid) -> Float[Array, "B N D"]:
    """Linear between the four nearest places, nothing averaged beyond them."""
    rows, columns = (
        linear(jnp.arange(new), jnp.full(new, new), source=old) for old, new in zip(grid[-2:], smaller[-2:])
    )
    y = jnp.einsum("...RCD,hR,wC->...hwD", on_grid(x, grid), rows.astype(x.dtype), columns.astype(x.dtype))
    return y.reshape(x.shape[0], -1, x.shape[-1])


def _reduced(grid: Grid, factor: int) -> Grid:
    *frames, rows, columns = grid
    return (*frames, -(-rows // factor), -(-columns // factor))
