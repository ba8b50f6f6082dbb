"""The continuous codec that is trained here: patches, a ladder down, a normal distribution, and the ladder up.

    z ~ q(z | x) = N(mean, variance) of to_moments(encode(patches of x))      x' = decode(z)
    penalty      = beta * |mean over places of KL(q || N(0, 1)) - nats|

nats 0 is the KL autoencoder of latent diffusion (arXiv:2112.10752, section 3.1). Above 0 it is what a place may tell
(arXiv:1804.03599, eq. 8): ln V makes the rate that of a codebook of V codes, so that the two kinds can be compared.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from flax import struct

from unified_jax.codecs.base import whole_grid
from unified_jax.codecs.patch import Patches
from unified_jax.codecs.patch_ladders import patch_ladders
from unified_jax.codecs.posterior import Posterior, latents_of
from unified_jax.core.types import Array, DTypeLike, Float, Leaf
from unified_jax.nn.dense import Dense


@struct.dataclass
class Drawn:
    """vectors: float32 [... C], latents. penalty: float32 [...], what training pays for each place. rate: float32
    [...], nats that each place tells.
    """

    vectors: Leaf
    penalty: Leaf
    rate: Leaf


class Gaussian(nn.Module):
    """Latents of ``channels`` at every place. patch to attention: as in ``VectorQuantised``."""

    patch: int = 2
    width: int = 32
    multipliers: Sequence[int] = (1, 2)
    depth: int = 1
    channels: int = 8
    beta: float = 1e-4
    nats: float = 0.0
    groups: int | None = None
    attention: int = 0
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        self.multipliers = tuple(self.multipliers)  # a config read from JSON has lists, which cannot be hashed
        super().__post_init__()

    def setup(self):
        self.encoder, self.decoder = patch_ladders(self)
        self.to_moments = Dense(2 * self.channels, use_bias=True, dtype=self.dtype)

    @property
    def factor(self) -> int:
        """Pixels per place, along a side."""
        return self.patch * 2 ** (len(self.multipliers) - 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the latents of one place."""
        return (self.channels,)

    def posterior(self, pixels: Float[Array, "B H W 3"]) -> Posterior:
        """Of the latents [B h w C]. Raises ValueError for sides that are not whole places."""
        whole_grid(*pixels.shape[1:3], self.factor)
        return Posterior.of(self.to_moments(self.encoder(Patches(self.patch).encode({}, pixels))))

    def __call__(self, pixels: Float[Array, "B H W 3"]) -> tuple[Array, Drawn]:
        """Pixels in [-1, 1] -> their reconstruction, and the latents of it: drawn where there is a key "sample"."""
        posterior = self.posterior(pixels)
        latents = latents_of(self, posterior)
        kl = posterior.kl()
        penalty = self.beta * jnp.abs(kl.mean((1, 2), keepdims=True) - self.nats)
        return self.decode(latents), Drawn(latents, jnp.broadcast_to(penalty, kl.shape), kl)

    def encode(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        """Pixels in [-1, 1] -> the most probable latents; drawn ones where there is a key "sample"."""
        return latents_of(self, self.posterior(pixels))

    def decode(self, latents: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        """Latents -> pixels, nominally in [-1, 1]."""
        return Patches(self.patch).decode({}, self.decoder(latents).astype(jnp.float32))
