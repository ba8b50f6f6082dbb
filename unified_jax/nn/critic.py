"""PatchCritic: convolutions that score overlapping patches of a picture (PatchGAN, arXiv:1611.07004, section 6.1.2)."""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.conv import Conv, GroupNorm

SLOPE = 0.2  # of the leaky rectifier


class PatchCritic(nn.Module):
    """``depth`` halvings, the width doubling up to 8 times, one convolution that keeps the grid, and one to scores.

    The norm is of groups within a picture: batch statistics, as published, would make a score depend on the others.
    groups: of every norm but the first layer's, which has none; it must divide ``width``.
    """

    width: int = 64
    depth: int = 3
    groups: int = 8
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w"]:
        """Pixels in [-1, 1] -> float32 scores. Raises ValueError for pictures that cannot be halved so often."""
        if min(pixels.shape[1:3]) < 2**self.depth:
            raise ValueError(f"pictures of {pixels.shape[2]}x{pixels.shape[1]} cannot be halved {self.depth} times")
        conv = lambda width, stride, name: Conv(width, 4, stride, dtype=self.dtype, name=name)
        x = nn.leaky_relu(conv(self.width, 2, "conv_0")(pixels), SLOPE)
        for i in range(1, self.depth + 1):
            x = conv(self.width * 2 ** min(i, 3), 2 if i < self.depth else 1, f"conv_{i}")(x)
            x = nn.leaky_relu(GroupNorm(self.groups, name=f"norm_{i}")(x), SLOPE)
        return conv(1, 1, "scores")(x)[..., 0].astype(jnp.float32)
