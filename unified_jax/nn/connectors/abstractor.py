"""Convolutional connectors: the C-Abstractor (Honeybee, arXiv:2312.06742, 3.2), and STC, which is one over space and
time (VideoLLaMA 2, arXiv:2406.07476, 2.2).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.connectors.grid import Grid, in_blocks, on_grid
from unified_jax.nn.reg_stage import RegStage


class CAbstractor(nn.Module):
    """RegStage, the mean of every factor * factor places, RegStage, ``then``: N = T / factor**2.

    depth, width: of each stage.
    """

    depth: int
    width: int
    factor: int
    then: nn.Module
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], *, grid: Grid) -> Float[Array, "B N F"]:
        stage = lambda name: RegStage(self.depth, self.width, dtype=self.dtype, name=name)
        y = stage("before")(on_grid(x, grid)).reshape(*x.shape[:2], self.width)
        smaller = tuple(side // self.factor for side in grid)
        y = stage("after")(on_grid(in_blocks(y, grid, self.factor).mean(2), smaller))
        return self.then(y.reshape(x.shape[0], -1, self.width), grid=smaller)


class Stc(nn.Module):
    """RegStage on every frame, a 2 x 2 x 2 convolution of stride 2 over space and time, RegStage, ``then``.

    The convolution is padded by one everywhere, so a side of n becomes n // 2 + 1. depth, width: of each stage.
    """

    depth: int
    width: int
    then: nn.Module
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], *, grid: Grid) -> Float[Array, "B N F"]:
        """grid: (frames, rows, columns)."""
        frames = lambda y: y.reshape(-1, *y.shape[2:])
        stage = lambda name: RegStage(self.depth, self.width, dtype=self.dtype, name=name)
        y = stage("before")(frames(on_grid(x, grid)))
        y = jax.nn.silu(self._sample(y.reshape(-1, *grid, self.width)))
        smaller = y.shape[1:4]
        y = stage("after")(frames(y)).reshape(x.shape[0], -1, self.width)
        return self.then(y, grid=smaller)

    def _sample(self, x: Float[Array, "B T H W C"]) -> Float[Array, "B t h w C"]:
        init = nn.initializers.lecun_normal(in_axis=(0, 1, 2, 3))
        kernel = self.param("kernel", init, (2, 2, 2, self.width, self.width), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.width,), jnp.float32)
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            (2, 2, 2),
            [(1, 1)] * 3,
            dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        )
        return y + bias.astype(self.dtype)
