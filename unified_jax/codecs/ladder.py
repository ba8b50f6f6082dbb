"""The resolution ladder of VQGAN and of the latent diffusion codecs after it (arXiv:2012.09841, appendix A).

    Encoder   conv, at each level depth ResBlocks and a halving, middle, silu(norm), conv
    Decoder   conv, middle, at each level depth ResBlocks and a doubling, silu(norm), conv

Levels are numbered from the finest grid in both. The middle is a few pieces at the coarsest.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.conv import Attention, Conv, GroupNorm, ResBlock
from unified_jax.nn.resize_conv import Downsample, Upsample

Piece = Callable[..., nn.Module]  # of norm, dtype and name: keeps grid and width
ATTENTIVE, PLAIN = (ResBlock, Attention, ResBlock), (ResBlock, ResBlock)  # middles


class Ladder(nn.Module):
    """What both ways share.

    widths: of every level, the finest first; sides differ by 2 ** (levels - 1) in all.
    depth: ResBlocks at each level, or how many at each; the published decoders often have one more than their encoders.
    out: channels of the last convolution; None leaves it out.
    attended: levels where every ResBlock is followed by ``attention``.
    middle: pieces at the coarsest grid, in their order.
    conv: of every convolution that keeps the grid.
    """

    widths: tuple[int, ...]
    depth: int | tuple[int, ...]
    out: int | None = None
    norm: Piece = GroupNorm
    attention: Piece = Attention
    attended: tuple[int, ...] = ()
    middle: tuple[Piece, ...] = ATTENTIVE
    dtype: DTypeLike = jnp.float32
    conv: Piece = Conv

    @property
    def factor(self) -> int:
        """The finest grid's places per one of the coarsest, along a side."""
        return 2 ** (len(self.widths) - 1)

    def run_level(self, x: Float[Array, "B *grid C"], level: int, *given: Array) -> Float[Array, "B *grid D"]:
        """The ResBlocks of a level, and attention where it has some."""
        for i in range(self.depth if isinstance(self.depth, int) else self.depth[level]):
            block = ResBlock(self.widths[level], self.norm, self.dtype, self.conv, name=f"level_{level}_block_{i}")
            x = block(x, *given)
            if level in self.attended:
                x = self.attention(norm=self.norm, dtype=self.dtype, name=f"level_{level}_attention_{i}")(x, *given)
        return x

    def run_middle(self, x: Float[Array, "B *grid C"], *given: Array) -> Float[Array, "B *grid C"]:
        """The pieces of the middle, one after another."""
        for i, piece in enumerate(self.middle):
            x = piece(norm=self.norm, dtype=self.dtype, name=f"middle_{i}")(x, *given)
        return x

    def finish(self, x: Float[Array, "B *grid C"], *given: Array) -> Float[Array, "B *grid D"]:
        """What the last level gives, normalised and rectified, and convolved to ``out`` channels."""
        x = jax.nn.silu(self.norm(name="norm")(x, *given))
        return x if self.out is None else self.conv(self.out, dtype=self.dtype, name="out")(x)


class Encoder(Ladder):
    """Pictures, or patches of them, -> a grid of features."""

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        x = self.conv(self.widths[0], dtype=self.dtype, name="in")(x)
        for level in range(len(self.widths)):
            if level:
                x = Downsample(dtype=self.dtype, name=f"down_{level}")(x)
            x = self.run_level(x, level)
        return self.finish(self.run_middle(x))


class Decoder(Ladder):
    """A grid of features -> pictures, or patches of them. given: what its norms take beside x (``SpatialNorm``)."""

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"], *given: Array) -> Float[Array, "B H W D"]:
        x = self.conv(self.widths[-1], dtype=self.dtype, name="in")(x)
        x = self.run_middle(x, *given)
        for level in reversed(range(len(self.widths))):
            x = self.run_level(x, level, *given)
            if level:
                x = Upsample(dtype=self.dtype, name=f"up_{level}")(x)
        return self.finish(x, *given)
