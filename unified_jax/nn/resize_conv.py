"""Convolutions from one resolution of a picture, [B H W C], to the next: halving its sides and doubling them.

As in VQGAN (arXiv:2012.09841, appendix): a strided convolution down, nearest-neighbour interpolation and a convolution
up.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.conv import Conv, convolve

# Which of three weights along a side meet the same value: [first or second place of its block, value, weight].
SHARED = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)


class Downsample(nn.Module):
    """Half the sides, by a strided convolution."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
        return Conv(x.shape[-1], stride=2, dtype=self.dtype, name="conv")(x)


class Upsample(nn.Module):
    """Twice the sides: every value repeated 2 x 2, then a convolution. features: None keeps the width."""

    features: int | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        return EnlargingConv(self.features or x.shape[-1], dtype=self.dtype, name="conv")(x)


class EnlargingConv(nn.Module):
    """``Conv`` of 3 x 3 on ``enlarge(x, (2, 2))``, at 4/9 of its products: nothing is repeated.

    Of the 3 x 3 repeated values that a place sees, only 2 x 2 differ; which ones are equal depends on where the place
    lies in its block of 2 x 2. So each of the four has a kernel of 2 x 2, sums of the nine weights.
    """

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        batch, height, width, channels = x.shape
        init = nn.initializers.lecun_normal(in_axis=(0, 1, 2))
        kernel = self.param("kernel", init, (3, 3, channels, self.features), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        kernels = jnp.einsum("pai,qbj,ijCD->pqabCD", SHARED, SHARED, kernel, precision=jax.lax.Precision.HIGHEST)
        at = lambda p, q: convolve(x, kernels[p, q], padding=((1 - p, p), (1 - q, q)), dtype=self.dtype)
        blocks = jnp.stack([jnp.stack([at(p, q) for q in (0, 1)], 3) for p in (0, 1)], 2)
        return blocks.reshape(batch, 2 * height, 2 * width, -1) + bias.astype(self.dtype)
