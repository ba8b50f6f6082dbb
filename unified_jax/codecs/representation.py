"""Representation autoencoder: the latents are what a frozen encoder sees (RAE, arXiv:2510.11690, section 3).

encode    standardised features of the picture, (f - mean) / (std + 1e-5)
decode    a trained transformer, features -> patches of pixels
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.codecs.bottleneck import Continuous
from unified_jax.codecs.patch import Patches
from unified_jax.codecs.posterior import Scale
from unified_jax.core.types import Array, Float
from unified_jax.nn.grid_features import GridFeatures
from unified_jax.nn.patch_decoder import PatchDecoder

DAMPING = 1e-5  # of standard deviations
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels in [0, 1]


class Representation(nn.Module):
    """Pictures of one size: the patches of ``decoder`` laid out on the grid of ``encoder``.

    noise: the largest deviation of noise on latents in training, so that the decoder is not surprised by drawn ones
    (section 3.2). statistics: the shape of the latents' mean and deviation, parameters of ones and zeros unless they
    come with the weights. scale: of the latents, for denoisers.
    """

    encoder: GridFeatures
    decoder: PatchDecoder
    noise: float = 0.0
    statistics: tuple[int, ...] = (1,)
    scale: Scale = Scale()

    def setup(self):
        read = lambda name, value: self.param(name, lambda rng: jnp.asarray(value, jnp.float32))
        self.pixel_mean, self.pixel_std = read("pixel_mean", MEAN), read("pixel_std", STD)
        self.latent_mean = read("latent_mean", jnp.zeros(self.statistics))
        self.latent_std = read("latent_std", jnp.ones(self.statistics))

    @property
    def factor(self) -> int:
        """Pixels per latent, along a side."""
        return math.isqrt(self.decoder.out // 3)

    def encode(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        """Pixels in [-1, 1], of any size -> latents, through which no gradient flows back."""
        return self._standard(self._seen(pixels))

    def decode(self, latents: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        """Latents -> pixels, nominally in [-1, 1]. Raises ValueError for another grid than the encoder's."""
        if latents.shape[1:3] != self.encoder.grid:
            raise ValueError(f"latents of {self.encoder.grid} places are decoded here, found {latents.shape[1:3]}")
        fixed = jax.lax.stop_gradient
        features = latents * fixed(self.latent_std + DAMPING) + fixed(self.latent_mean)
        pixels = Patches(self.factor).decode({}, self.decoder(features))
        return 2 * (pixels * fixed(self.pixel_std) + fixed(self.pixel_mean)) - 1

    def __call__(self, pixels: Float[Array, "B H W 3"]) -> tuple[Array, Continuous]:
        """Pixels in [-1, 1] -> their reconstruction and its latents, noisy where there is a key "sample"."""
        features = self._seen(pixels)
        if self.noise and self.has_rng("sample"):
            rng, sigma = self.make_rng("sample"), self.noise
            level = sigma * jax.random.uniform(jax.random.fold_in(rng, 0), (len(features), 1, 1, 1))
            features = features + level * jax.random.normal(jax.random.fold_in(rng, 1), features.shape)
        latents = self._standard(features)
        return self.decode(latents), Continuous(latents, jnp.zeros(latents.shape[:3], jnp.float32))

    def _seen(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        return jax.lax.stop_gradient(self.encoder(((pixels + 1) / 2 - self.pixel_mean) / self.pixel_std))

    def _standard(self, features: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
        return jax.lax.stop_gradient((features - self.latent_mean) / (self.latent_std + DAMPING))
