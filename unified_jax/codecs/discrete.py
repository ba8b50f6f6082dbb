"""Discrete codecs: pixels -> a grid of integer codes -> pixels, by an encoder, a quantiser and a decoder."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.codecs.base import whole_grid
from unified_jax.codecs.quantisers.base import Quantised
from unified_jax.core.types import Array, Float, Int


class Discrete(nn.Module):
    """What all of them share. A kind has a ``quantiser`` and says how latents are made and how vectors are drawn."""

    @property
    def factor(self) -> int:
        """Pixels per code, along a side."""
        raise NotImplementedError

    @property
    def codes(self) -> int:
        """How many codes there are."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the codes of one place."""
        return ()

    def latents(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        """What is quantised."""
        raise NotImplementedError

    def draw(self, vectors: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        """The pixels of quantised vectors."""
        raise NotImplementedError

    def quantise(self, pixels: Float[Array, "B H W 3"]) -> Quantised:
        """Codes, vectors and penalty of every place. Raises ValueError for sides that are not whole codes."""
        whole_grid(*pixels.shape[1:3], self.factor)
        return self.quantiser(self.latents(pixels))

    def __call__(self, pixels: Float[Array, "B H W 3"]) -> tuple[Any, Quantised]:
        """Pixels in [-1, 1] -> their reconstruction, and what the quantiser made of them, [B h w ...]."""
        quantised = self.quantise(pixels)
        return self.draw(quantised.vectors), quantised

    def encode(self, pixels: Float[Array, "B H W 3"]) -> Int[Array, "B ..."]:
        """Pixels in [-1, 1] -> codes."""
        return self.quantise(pixels).codes

    def decode(self, codes: Int[Array, "B ..."]) -> Float[Array, "B H W 3"]:
        """Codes -> pixels, nominally in [-1, 1]."""
        return self.draw(self.quantiser.lookup(codes))


class Bottleneck(Discrete):
    """Of the published kind: a product to the width of codes after the encoder, and one back behind the quantiser."""

    encoder: nn.Module
    to_code: nn.Module
    quantiser: nn.Module
    from_code: nn.Module

    @property
    def factor(self) -> int:
        return self.encoder.factor

    @property
    def codes(self) -> int:
        return self.quantiser.size

    def latents(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        return self.to_code(self.encoder(pixels)).astype(jnp.float32)


class LadderTokenizer(Bottleneck):
    """One that was published without its decoder: it reads pictures and draws none."""

    def draw(self, vectors: Float[Array, "B h w C"]) -> Float[Array, "B h w D"]:
        """The features that its decoder would start from."""
        return self.from_code(vectors).astype(jnp.float32)

    def decode(self, codes: Int[Array, "B h w"]) -> Float[Array, "B H W 3"]:
        """Raises ValueError."""
        raise ValueError("this codec was published without its decoder: it turns pictures into codes, not back")


class LadderCodec(Bottleneck):
    """One with its decoder."""

    decoder: nn.Module

    def draw(self, vectors: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        return self.decoder(self.from_code(vectors)).astype(jnp.float32)


class GuidedLadderCodec(LadderCodec):
    """One whose decoder's norms look at the quantised vectors again, at every level (MoVQ, arXiv:2209.09002)."""

    def draw(self, vectors: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        return self.decoder(self.from_code(vectors), vectors).astype(jnp.float32)
