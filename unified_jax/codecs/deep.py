"""The deep-compression autoencoder, DC-AE: 32 to 128 pixels along a side per latent (arXiv:2410.10733, section 3.2).

    down(x) = conv(x), halved  + mean of groups of channels(blocks of x as channels)
    up(x)   = conv(x), doubled + blocks of (channels of x repeated)

The last convolution of the encoder and the first of the decoder have such a shortcut in channels too. Levels are
residual convolutions where the grid is fine, linear attention and gated convolutions where it is coarse.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.codecs.base import whole_grid
from unified_jax.codecs.ladder import Piece
from unified_jax.codecs.posterior import Scale
from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.conv import Conv
from unified_jax.nn.linear_attention import GatedConv, MultiscaleAttention
from unified_jax.nn.shuffle import average_channels, from_channels, repeat_channels, to_channels

SQUARE = (2, 2)
AROUND = ((1, 1), (1, 1))


class DeepAutoencoder(nn.Module):
    """Both networks. factor: pixels along a side per latent. scale: of the latents, for denoisers."""

    encoder: nn.Module
    decoder: nn.Module
    factor: int
    scale: Scale = Scale()

    @property
    def channels(self) -> int:
        """C of latents."""
        return self.encoder.channels

    def __call__(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B H W 3"]:
        """Pixels in [-1, 1] -> their reconstruction."""
        return self.draw(self.latents(pixels))

    def latents(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        """``encode``, which is as certain as can be."""
        return self.encode(pixels)

    def draw(self, latents: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        """``decode``."""
        return self.decode(latents)

    def encode(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        """Pixels in [-1, 1] -> latents, which have no variance here; ValueError when the sides do not divide."""
        whole_grid(*pixels.shape[1:3], self.factor)
        return self.encoder(pixels).astype(jnp.float32)

    def decode(self, latents: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        """Latents -> pixels, nominally in [-1, 1]."""
        return self.decoder(latents).astype(jnp.float32)


class Encoder(nn.Module):
    """Pictures -> latents.

    levels: the pieces of every level, the finest first, which keep its width. start: pixels -> the first level.
    step: a level -> the next.
    """

    widths: tuple[int, ...]
    levels: tuple[tuple[Piece, ...], ...]
    channels: int
    start: Piece
    step: Piece
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        x = self.start(self.widths[0], dtype=self.dtype, name="in")(x)
        for level, pieces in enumerate(self.levels):
            if level:
                y = self.step(self.widths[level], dtype=self.dtype, name=f"down_{level}")(x)
                x = y + average_channels(to_channels(x, SQUARE), self.widths[level])
            for i, piece in enumerate(pieces):
                x = piece(dtype=self.dtype, name=f"level_{level}_block_{i}")(x)
        return Conv(self.channels, dtype=self.dtype, name="out")(x) + average_channels(x, self.channels)


class Decoder(nn.Module):
    """Latents -> pictures: the levels of ``Encoder`` climbed back. finish: the first level -> pixels."""

    widths: tuple[int, ...]
    levels: tuple[tuple[Piece, ...], ...]
    channels: int
    finish: Piece
    step: Piece
    norm: Piece
    activation: Callable[[Array], Array] = jax.nn.relu
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B H W D"]:
        x = Conv(self.widths[-1], dtype=self.dtype, name="in")(x) + repeat_channels(x, self.widths[-1])
        for level, pieces in reversed(list(enumerate(self.levels))):
            if level + 1 < len(self.levels):
                y = self.step(self.widths[level], dtype=self.dtype, name=f"up_{level + 1}")(x)
                x = y + from_channels(repeat_channels(x, 4 * self.widths[level]), SQUARE)
            for i, piece in enumerate(pieces):
                x = piece(dtype=self.dtype, name=f"level_{level}_block_{i}")(x)
        x = self.activation(self.norm(name="norm")(x))
        return self.finish(self.channels, dtype=self.dtype, name="out")(x)


class PlainBlock(nn.Module):
    """x + norm(conv(activation(conv(x))))."""

    norm: Piece
    activation: Callable[[Array], Array] = jax.nn.silu
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        y = self.activation(Conv(x.shape[-1], dtype=self.dtype, name="conv_in")(x))
        y = Conv(x.shape[-1], use_bias=False, dtype=self.dtype, name="conv_out")(y)
        return x + self.norm(name="norm")(y)


class AttentionBlock(nn.Module):
    """Attention, then a gated convolution. norm: of the attention. gate_norm: of the convolution."""

    head_dim: int
    scales: tuple[int, ...]
    norm: Piece
    gate_norm: Piece
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        x = MultiscaleAttention(self.head_dim, self.scales, self.norm, self.dtype, name="attention")(x)
        return GatedConv(norm=self.gate_norm, dtype=self.dtype, name="gated")(x)


class StridedConv(nn.Module):
    """Half the sides by a stride, with a row and a column of zeros on every side."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        return Conv(self.features, stride=2, padding=AROUND, dtype=self.dtype, name="conv")(x)


class FoldedConv(nn.Module):
    """Half the sides: a convolution to a quarter of the channels, then blocks to channels."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        return to_channels(Conv(self.features // 4, dtype=self.dtype, name="conv")(x), SQUARE)


class UnfoldedConv(nn.Module):
    """Twice the sides: a convolution to four times the channels, then channels to blocks."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B H W D"]:
        return from_channels(Conv(4 * self.features, dtype=self.dtype, name="conv")(x), SQUARE)
