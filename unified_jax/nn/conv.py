"""Convolutional pieces on pictures, [B H W C] (NHWC): what pixel codecs are built from.

They are those of VQGAN (arXiv:2012.09841, appendix) and of the latent diffusion codecs after it; from one resolution to
the next go the pieces of ``resize_conv.py``.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.dense import Dense
from unified_jax.nn.full_attention import attend_all

EPSILON = 1e-6  # of the published codecs; not the 1e-5 that is torch's default

Padding = str | tuple[tuple[int, int], tuple[int, int]]  # rows and columns of zeros before and after


class Conv(nn.Module):
    """size x size convolution, zero-padded so that a stride s divides even sides by exactly s.

    With size 3 and stride 2 the padding falls on the bottom and right only, as in the published codecs. XLA's own
    convolution: on CPU it beat sums of shifted matrix products 1.3x to 3x in gradients at every size but 4 x 4 x 128.

    padding: rows and columns of zeros before and after, if others.
    """

    features: int
    size: int = 3
    stride: int = 1
    dtype: DTypeLike = jnp.float32
    use_bias: bool = True
    padding: Padding = "SAME"

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        shape = (self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(in_axis=(0, 1, 2)), shape, jnp.float32)
        y = convolve(x, kernel, padding=self.padding, stride=self.stride, dtype=self.dtype)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
        return y


class DepthwiseConv(nn.Module):
    """size x size convolution of every channel by itself, zero-padded as ``Conv`` is.

    A sum of shifted pictures: on CPU it beat XLA's grouped convolution 6x to 40x, and its gradient 5x to 100x.
    """

    size: int = 3
    stride: int = 1
    use_bias: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w C"]:
        channels, sides = x.shape[-1], x.shape[1:3]
        pads = jax.lax.padtype_to_pads(sides, (self.size,) * 2, (self.stride,) * 2, "SAME")
        shape, init = (self.size, self.size, 1, channels), nn.initializers.lecun_normal(in_axis=(0, 1, 2))
        kernel = self.param("kernel", init, shape, jnp.float32).astype(self.dtype)
        around = jnp.pad(x.astype(self.dtype), [(0, 0), *pads, (0, 0)])
        height, width = (self.stride * (-(-side // self.stride) - 1) + 1 for side in sides)
        taken = lambda i, j: around[:, i : i + height : self.stride, j : j + width : self.stride]
        y = sum(taken(i, j) * kernel[i, j, 0] for i, j in np.ndindex(self.size, self.size))
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (channels,), jnp.float32).astype(self.dtype)
        return y


class GroupNorm(nn.Module):
    """(x - mean) / std over space and groups of neighbouring channels (arXiv:1803.08494), in float32.

    Raises ValueError when the channels do not divide into ``groups``.
    """

    groups: int = 32
    epsilon: float = EPSILON

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        channels = x.shape[-1]
        if channels % self.groups:
            raise ValueError(f"{channels} channels do not divide into {self.groups} groups")
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        y = x.astype(jnp.float32)
        y = y - self._pooled(y)
        y = y * jax.lax.rsqrt(self._pooled(jnp.square(y)) + self.epsilon)
        return (y * scale + bias).astype(x.dtype)

    def _pooled(self, x: Float[Array, "B H W C"]) -> Float[Array, "B 1 1 C"]:
        """The mean of each group, repeated over its channels. Space first: XLA on CPU vectorises that reduction."""
        mean = x.mean((1, 2)).reshape(x.shape[0], self.groups, -1)
        return jnp.broadcast_to(mean.mean(-1, keepdims=True), mean.shape).reshape(x.shape[0], 1, 1, -1)


class SpatialNorm(nn.Module):
    """norm(x) * scale(z) + shift(z), z a latent laid over the picture by repetition (MoVQ, arXiv:2209.09002).

    Scale and shift are products at each place, so they are taken on the latent's own grid.
    """

    norm: Callable[..., nn.Module] = GroupNorm
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], z: Float[Array, "B h w D"]) -> Float[Array, "B H W C"]:
        times = (x.shape[1] // z.shape[1], x.shape[2] // z.shape[2])
        project = lambda name: Dense(x.shape[-1], use_bias=True, dtype=self.dtype, name=name)(z)
        return self.norm(name="norm")(x) * enlarge(project("scale"), times) + enlarge(project("shift"), times)


class ResBlock(nn.Module):
    """shortcut(x) + conv(silu(norm(conv(silu(norm(x)))))); the shortcut is a 1 x 1 product where the width changes.

    features: None keeps the width. conv: on pictures, or on video (``causal_conv.py``). What is given beside x goes to
    the norms.
    """

    features: int | None = None
    norm: Callable[..., nn.Module] = GroupNorm
    dtype: DTypeLike = jnp.float32
    conv: Callable[..., nn.Module] = Conv

    @nn.compact
    def __call__(self, x: Float[Array, "B *grid C"], *given: Array) -> Float[Array, "B *grid D"]:
        features = self.features or x.shape[-1]
        y = self.conv(features, dtype=self.dtype, name="conv_in")(jax.nn.silu(self.norm(name="norm_in")(x, *given)))
        y = self.conv(features, dtype=self.dtype, name="conv_out")(jax.nn.silu(self.norm(name="norm_out")(y, *given)))
        if x.shape[-1] != features:
            x = Dense(features, use_bias=True, dtype=self.dtype, name="shortcut")(x)
        return x + y


class Attention(nn.Module):
    """x + o(attend_all(q, k, v)) over all places of a picture, on normalised input; the frames of a video are pictures.

    What is given beside x goes to the norm. Raises ValueError when the channels do not divide into heads.
    """

    norm: Callable[..., nn.Module] = GroupNorm
    dtype: DTypeLike = jnp.float32
    num_heads: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "*B H W C"], *given: Array) -> Float[Array, "*B H W C"]:
        *_, height, width, channels = x.shape
        if channels % self.num_heads:
            raise ValueError(f"{channels} channels do not divide into {self.num_heads} heads")
        places, heads = height * width, (self.num_heads, channels // self.num_heads)
        y = self.norm(name="norm")(x, *given).reshape(-1, places, channels)
        project = lambda name: Dense(heads, use_bias=True, dtype=self.dtype, name=name)(y)
        out = attend_all(*map(project, "qkv"))
        return x + Dense(channels, axes=2, use_bias=True, dtype=self.dtype, name="o")(out).reshape(x.shape)


def convolve(
    x: Float[Array, "B H W C"],
    kernel: Float[Array, "R S C D"],
    *,
    padding: Padding,
    stride: int = 1,
    dtype: DTypeLike,
) -> Float[Array, "B h w D"]:
    """XLA's convolution in NHWC order."""
    return jax.lax.conv_general_dilated(
        x.astype(dtype),
        kernel.astype(dtype),
        (stride, stride),
        padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def enlarge(x: Float[Array, "B H W C"], times: tuple[int, int]) -> Float[Array, "B h w C"]:
    """Every value repeated ``times`` down and across: nearest-neighbour interpolation to a multiple of the sides."""
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, times[0], width, times[1], channels))
    return x.reshape(batch, times[0] * height, times[1] * width, channels)
