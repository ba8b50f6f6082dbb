"""Convolutional pieces on pictures, [B H W C] (NHWC): what pixel codecs are built from.

One resolution ladder (VQGAN, arXiv:2012.09841, appendix, and the latent diffusion codecs after it):
ResBlocks at each level, a strided convolution down, nearest-neighbour upsampling and a convolution up.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.attention import attend
from unified_jax.nn.dense import Dense

EPSILON = 1e-6  # of the published codecs; not the 1e-5 that is torch's default


class Conv(nn.Module):
    """size x size convolution, zero-padded so that a stride s divides even sides by exactly s.

    With size 3 and stride 2 the padding falls on the bottom and right only, as in the published codecs. XLA's own
    convolution: on CPU it beat sums of shifted matrix products 1.3x to 3x in gradients at every size but 4 x 4 x 128.

    groups: of channels that see only their own inputs. padding: rows and columns of zeros before and after, if others.
    """

    features: int
    size: int = 3
    stride: int = 1
    dtype: DTypeLike = jnp.float32
    groups: int = 1
    use_bias: bool = True
    padding: str | tuple[tuple[int, int], tuple[int, int]] = "SAME"

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(in_axis=(0, 1, 2)), shape, jnp.float32)
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            kernel.astype(self.dtype),
            (self.stride, self.stride),
            self.padding,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
        )
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(self.dtype)
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
    """x + o(attend(q, k, v)) over all places of a picture, on normalised input; the frames of a video are pictures.

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
        out = attend(project("q"), project("k"), project("v"), mask=jnp.ones((y.shape[0], places, places), bool))
        return x + Dense(channels, axes=2, use_bias=True, dtype=self.dtype, name="o")(out).reshape(x.shape)


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
        return Conv(self.features or x.shape[-1], dtype=self.dtype, name="conv")(enlarge(x, (2, 2)))


def enlarge(x: Float[Array, "B H W C"], times: tuple[int, int]) -> Float[Array, "B h w C"]:
    """Every value repeated ``times`` down and across: nearest-neighbour interpolation to a multiple of the sides."""
    batch, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, times[0], width, times[1], channels))
    return x.reshape(batch, times[0] * height, times[1] * width, channels)
