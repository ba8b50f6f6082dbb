"""The resolution ladder on video, [B F H W C]: that of ``ladder.py`` with convolutions that are causal in time.

    sides     divided by 2 at every step from level to level, frame by frame
    frames    1 + 2^k n -> 1 + n, where k of the steps halve time too: the first frame is a picture

Chunks of a video go through in turns as they do through one piece (``nn/causal_conv.py``). Without bridges it is the
ladder of Wan 2.1 (arXiv:2503.20314, section 4.1), with them that of Wan 2.2 (github.com/Wan-Video/Wan2.2).
"""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.codecs.ladder import Ladder, Piece
from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.causal_conv import CausalConv, begins, each_frame
from unified_jax.nn.conv import Attention, ResBlock
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.resize_conv import Downsample, Upsample
from unified_jax.nn.shuffle import average_channels, from_channels, repeat_channels, to_channels

EPSILON = 1e-24  # x / max(|x|, 1e-12) in the published code
VideoBlock = partial(ResBlock, conv=CausalConv)


class CausalLadder(Ladder):
    """What both ways share, beside the fields of ``Ladder``.

    steps: the pieces between each level and the next coarser one, in the order of going down; going up runs them
    backwards.
    bridges: of every level, what is added around its ResBlocks and the step after them; None, or no entry, for nothing.
    """

    norm: Piece = partial(RMSNorm, EPSILON)
    middle: tuple[Piece, ...] = (VideoBlock, Attention, VideoBlock)
    conv: Piece = CausalConv
    steps: tuple[tuple[Piece, ...], ...] = ()
    bridges: tuple[Piece | None, ...] = ()

    def step_pieces(self, level: int) -> list[nn.Module]:
        """The pieces of the step below a level."""
        return [piece(dtype=self.dtype, name=f"step_{level}_{i}") for i, piece in enumerate(self.steps[level])]

    def add_bridge(
        self, x: Float[Array, "B f h w D"], start: Float[Array, "B F H W C"], level: int
    ) -> Float[Array, "B f h w D"]:
        """What a level made of its start, and the start itself where there is a bridge."""
        if level >= len(self.bridges) or self.bridges[level] is None:
            return x
        return x + self.bridges[level](x.shape[-1], name=f"bridge_{level}")(start)


class Encoder(CausalLadder):
    """Videos, or patches of them, -> a grid of features."""

    @nn.compact
    def __call__(self, x: Float[Array, "B F H W C"]) -> Float[Array, "B f h w D"]:
        x = self.conv(self.widths[0], dtype=self.dtype, name="in")(x)
        for level in range(len(self.widths)):
            start, x = x, self.run_level(x, level)
            for piece in self.step_pieces(level) if level < len(self.steps) else ():
                x = piece(x)
            x = self.add_bridge(x, start, level)
        return self.finish(self.run_middle(x))


class Decoder(CausalLadder):
    """A grid of features -> videos, or patches of them."""

    @nn.compact
    def __call__(self, x: Float[Array, "B f h w C"]) -> Float[Array, "B F H W D"]:
        x = self.conv(self.widths[-1], dtype=self.dtype, name="in")(x)
        x = self.run_middle(x)
        for level in reversed(range(len(self.widths))):
            start, x = x, self.run_level(x, level)
            for piece in reversed(self.step_pieces(level - 1) if level else ()):
                x = piece(x)
            x = self.add_bridge(x, start, level)
        return self.finish(x)


class HalveSides(nn.Module):
    """Half the sides of every frame."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B F H W C"]) -> Float[Array, "B F h w C"]:
        return each_frame(Downsample(dtype=self.dtype, name="frame"), x)


class DoubleSides(nn.Module):
    """Twice the sides of every frame. narrow: by how much the channels are divided."""

    narrow: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B F H W C"]) -> Float[Array, "B F h w D"]:
        return each_frame(Upsample(x.shape[-1] // self.narrow, dtype=self.dtype, name="frame"), x)


class AverageBlocks(nn.Module):
    """The bridge of an encoder: blocks of frames, rows and columns to channels, and the mean of their groups.

    Frames of zeros stand before the first, which is a picture.
    """

    features: int
    block: tuple[int, int, int]

    def __call__(self, x: Float[Array, "B F H W C"]) -> Float[Array, "B f h w D"]:
        x = jnp.pad(x, [(0, 0), (-x.shape[1] % self.block[0], 0), (0, 0), (0, 0), (0, 0)])
        return average_channels(to_channels(x, self.block), self.features)


class RepeatBlocks(nn.Module):
    """The bridge of a decoder: channels repeated, then to blocks of frames, rows and columns.

    The first frame is a picture: of what its block would be in time, the last is it.
    """

    features: int
    block: tuple[int, int, int]

    @nn.compact
    def __call__(self, x: Float[Array, "B f h w C"]) -> Float[Array, "B F H W D"]:
        times, rows, columns = self.block
        x = from_channels(repeat_channels(x, self.features * times * rows * columns), self.block)
        return x[:, times - 1 :] if begins(self) else x
