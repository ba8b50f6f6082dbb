"""DiscreteClip: clips -> one grid of codes for every few frames -> clips; a picture is a clip that stands still.

    encode   each frame down the ladder, time halved by causal convolutions, codes
    decode   codes, time doubled, each frame up the ladder, whose norms look at the codes' vectors again

The video tokenizer of Emu3 (arXiv:2409.18869, section 2.2), a MoVQ (2209.09002) with convolutions over time.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.codecs.base import whole_grid
from unified_jax.codecs.discrete import Bottleneck
from unified_jax.core.types import Array, DTypeLike, Float, Int
from unified_jax.nn.causal_conv import CausalConv, each_frame
from unified_jax.nn.conv import ResBlock
from unified_jax.nn.norm import FixedNorm

EPSILON = 1e-5  # of the norms over time; not in the published config


class HalveTime(nn.Module):
    """Time halved ``times`` times, each by a convolution over four frames, then ``depth`` ResBlocks."""

    times: int
    depth: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B F H W C"]) -> Float[Array, "B f H W C"]:
        for i in range(self.times):
            halve = CausalConv(x.shape[-1], frames=4, stride=2, dtype=self.dtype, name=f"halve_{i}")
            x = jax.nn.silu(halve(x))
        return _blocks(x, self.depth, self.dtype)


class DoubleTime(nn.Module):
    """``depth`` ResBlocks, then time doubled ``times`` times: every frame repeated, and a convolution."""

    times: int
    depth: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B F H W C"]) -> Float[Array, "B f H W C"]:
        x = _blocks(x, self.depth, self.dtype)
        for i in range(self.times):
            double = CausalConv(x.shape[-1], dtype=self.dtype, name=f"double_{i}")
            x = jax.nn.silu(double(jnp.repeat(x, 2, axis=1)))
        return x


class DiscreteClip(Bottleneck):
    """encoder, decoder: ladders of single frames. halve, double: between them and the products, which are over time."""

    halve: HalveTime
    double: DoubleTime
    decoder: nn.Module

    @property
    def frames(self) -> int:
        """Frames per grid of codes."""
        return 2**self.halve.times

    def latents(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        return self._latents(jnp.repeat(pixels[:, None], self.frames, axis=1))[:, 0]

    def draw(self, vectors: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        return self._draw(vectors[:, None])[:, 0]

    def encode_clip(self, pixels: Float[Array, "B F H W 3"]) -> Int[Array, "B f h w"]:
        """Pixels in [-1, 1] -> codes. Raises ValueError for frames or sides that are not whole codes."""
        whole_grid(*pixels.shape[2:4], self.factor)
        if pixels.shape[1] % self.frames:
            raise ValueError(f"a clip of {pixels.shape[1]} frames: their number must be a multiple of {self.frames}")
        return self.quantiser(self._latents(pixels)).codes

    def decode_clip(self, codes: Int[Array, "B f h w"]) -> Float[Array, "B F H W 3"]:
        """Codes -> pixels, nominally in [-1, 1]."""
        return self._draw(self.quantiser.lookup(codes))

    def _latents(self, pixels: Float[Array, "B F H W 3"]) -> Float[Array, "B f h w C"]:
        return self.to_code(self.halve(each_frame(self.encoder, pixels))).astype(jnp.float32)

    def _draw(self, vectors: Float[Array, "B f h w C"]) -> Float[Array, "B F H W 3"]:
        # Features and guide go through time as two clips of one batch: they share all weights there.
        both = self.double(jnp.concatenate([self.from_code(vectors), vectors]))
        features, guide = (x.reshape(-1, *x.shape[2:]) for x in jnp.split(both, 2))
        frames = self.decoder(features, guide).astype(jnp.float32)
        return frames.reshape(len(vectors), -1, *frames.shape[1:])


def _blocks(x: Float[Array, "B F H W C"], depth: int, dtype: DTypeLike) -> Float[Array, "B F H W C"]:
    for i in range(depth):
        norm = partial(FixedNorm, EPSILON)
        x = ResBlock(norm=norm, dtype=dtype, conv=CausalConv, name=f"block_{i}")(x)
    return x
