"""KlPicture: pictures -> normally distributed latents -> pictures (latent diffusion, arXiv:2112.10752, section 3.1).

encode    ladder, product where there is one -> mean and log-variance of [B h w C]
decode    product where there is one, ladder
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.codecs.base import whole_grid
from unified_jax.codecs.posterior import Posterior, Scale, latents_of
from unified_jax.codecs.quantisers.base import unchanged
from unified_jax.core.types import Array, Float


class KlPicture(nn.Module):
    """Both ladders (``ladder.py``). scale: of the latents, for denoisers."""

    encoder: nn.Module
    decoder: nn.Module
    to_moments: Callable[[Array], Array] = unchanged
    from_latents: Callable[[Array], Array] = unchanged
    scale: Scale = Scale()

    @property
    def factor(self) -> int:
        """Pixels per latent, along a side."""
        return self.encoder.factor

    @property
    def channels(self) -> int:
        """C of latents."""
        return self.encoder.out // 2

    def __call__(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B H W 3"]:
        """Pixels in [-1, 1] -> what the most probable latents decode to."""
        return self.draw(self.encode(pixels).mode())

    def encode(self, pixels: Float[Array, "B H W 3"]) -> Posterior:
        """Pixels in [-1, 1] -> the posterior of latents [B h w C]; ValueError when the sides do not divide."""
        whole_grid(*pixels.shape[1:3], self.factor)
        return Posterior.of(self.to_moments(self.encoder(pixels)))

    def posterior(self, pixels: Float[Array, "B H W 3"]) -> Posterior:
        """``encode``."""
        return self.encode(pixels)

    def latents(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        """The most probable latents of pictures; drawn ones where there is a key "sample"."""
        return latents_of(self, self.posterior(pixels))

    def draw(self, latents: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        """``decode``."""
        return self.decode(latents)

    def decode(self, latents: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        """Latents -> pixels, nominally in [-1, 1]."""
        return self.decoder(self.from_latents(latents)).astype(jnp.float32)
