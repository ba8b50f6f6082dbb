"""KlVideo: videos -> normally distributed latents -> videos, by causal ladders (arXiv:2503.20314, section 4.1).

    encode    patches, ladder, product -> mean and log-variance of [B f h w C]
    decode    product, ladder, patches back, clipped to [-1, 1]

Long videos go through in chunks of time (``encode_in_chunks``, ``decode_in_chunks``) and large ones in tiles of space
(``tiles.py``): memory then grows with neither, beyond what goes in and comes out.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from unified_jax.codecs.base import whole_grid
from unified_jax.codecs.posterior import Posterior, Scale, latents_of
from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.causal_conv import begins
from unified_jax.nn.dense import Dense


class KlVideo(nn.Module):
    """Both networks and the products between them. A picture is a video of one frame.

    channels: of the latents. factor: pixels along a side per latent. frames: those after the first, per latent.
    patch: side of the squares that enter as one place. scale: of the latents, for denoisers.
    """

    encoder: nn.Module
    decoder: nn.Module
    channels: int
    factor: int
    frames: int
    patch: int = 1
    scale: Scale = Scale()
    dtype: DTypeLike = jnp.float32

    def setup(self):
        self.to_moments = Dense(2 * self.channels, use_bias=True, dtype=self.dtype)
        self.from_latents = Dense(self.channels, use_bias=True, dtype=self.dtype)

    def __call__(self, pixels: Float[Array, "B F H W 3"]) -> Float[Array, "B F H W 3"]:
        """Pixels in [-1, 1] -> what the most probable latents decode to."""
        return self.decode(self.encode(pixels).mode())

    def posterior(self, pixels: Float[Array, "B H W 3"]) -> Posterior:
        """Of the latents [B h w C] of pictures, each a video of one frame."""
        return jax.tree.map(lambda x: x[:, 0], self.encode(pixels[:, None]))

    def latents(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        """The most probable latents of pictures; drawn ones where there is a key "sample"."""
        return latents_of(self, self.posterior(pixels))

    def draw(self, latents: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        """The pictures of latents."""
        return self.decode(latents[:, None])[:, 0]

    def encode(self, pixels: Float[Array, "B F H W 3"]) -> Posterior:
        """Pixels in [-1, 1] -> the posterior of latents [B f h w C]; ValueError when frames or sides do not divide."""
        whole_grid(*pixels.shape[2:4], self.factor)
        _whole_frames(pixels.shape[1] - begins(self), self.frames)
        p = self.patch
        x = rearrange(pixels, "b f (h p) (w q) c -> b f h w (c q p)", p=p, q=p)  # columns before rows, as published
        return Posterior.of(self.to_moments(self.encoder(x)))

    def decode(self, latents: Float[Array, "B f h w C"]) -> Float[Array, "B F H W 3"]:
        """Latents -> pixels, within [-1, 1]."""
        p = self.patch
        x = self.decoder(self.from_latents(latents)).astype(jnp.float32)
        return jnp.clip(rearrange(x, "b f h w (c q p) -> b f (h p) (w q) c", p=p, q=p), -1, 1)


def encode_in_chunks(
    module: KlVideo, params: Mapping[str, Any], pixels: Float[Array, "B F H W 3"], *, latents: int = 1
) -> Posterior:
    """``encode``, ``latents`` frames of them at a time after the first: the same result in bounded memory.

    Raises ValueError for a number of frames that is not 1 + a multiple of ``module.frames * latents``.
    """
    return _in_chunks(module, params, pixels, size=latents * module.frames, method="encode")


def decode_in_chunks(
    module: KlVideo, params: Mapping[str, Any], values: Float[Array, "B f h w C"], *, latents: int = 1
) -> Float[Array, "B F H W 3"]:
    """``decode``, ``latents`` frames of them at a time after the first: the same result in bounded memory.

    Raises ValueError for a number of latent frames that is not 1 + a multiple of ``latents``.
    """
    return _in_chunks(module, params, values, size=latents, method="decode")


def _in_chunks(module: KlVideo, params: Mapping[str, Any], x: Array, *, size: int, method: str) -> Any:
    """A method over the first frame and then over chunks of ``size`` frames, each with the past of those before."""
    _whole_frames(x.shape[1] - 1, size)

    def run(past: Any, chunk: Array) -> tuple[Any, Any]:
        made, past = module.apply({"params": params, **past}, chunk, method=method, mutable=["past"])
        return past, made

    past, first = run({}, x[:, :1])
    chunks = x[:, 1:].reshape(x.shape[0], -1, size, *x.shape[2:])
    _, rest = jax.lax.scan(run, past, jnp.moveaxis(chunks, 1, 0))
    return jax.tree.map(_in_order, first, rest)


def _in_order(first: Float[Array, "B f *rest"], chunks: Float[Array, "N B F *rest"]) -> Float[Array, "B G *rest"]:
    """The frames of the first chunk and of all others, one after another."""
    rest = jnp.moveaxis(chunks, 0, 1)
    return jnp.concatenate([first, rest.reshape(first.shape[0], -1, *first.shape[2:])], 1)


def _whole_frames(after_first: int, size: int) -> None:
    if after_first % size:
        raise ValueError(f"video of 1 + {after_first} frames: those after the first must be a multiple of {size}")
