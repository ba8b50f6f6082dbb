"""Posterior: what an autoencoder with a Gaussian prior says of a picture's latents (arXiv:1312.6114, appendix B).

q(z | x) = N(mean, exp(logvar))        KL(q || N(0, 1)) = 1/2 sum_C (mean^2 + exp(logvar) - 1 - logvar)
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.types import AnyArray, Array, Float, Leaf, PRNGKeyArray

BOUNDS = (-30.0, 20.0)  # of the log-variance, in the published codecs


@struct.dataclass
class Posterior:
    """mean, logvar: float32 [... C], independent normal distributions."""

    mean: Leaf
    logvar: Leaf

    @classmethod
    def of(cls, moments: Float[Array, "... D"]) -> "Posterior":
        """What an encoder says: means in the first half of the channels, log-variances in the second."""
        mean, logvar = jnp.split(moments.astype(jnp.float32), 2, -1)
        return cls(mean, jnp.clip(logvar, *BOUNDS))

    def sample(self, rng: PRNGKeyArray) -> Float[Array, "... C"]:
        """A draw, differentiable in mean and logvar."""
        return self.mean + jnp.exp(self.logvar / 2) * jax.random.normal(rng, self.mean.shape)

    def mode(self) -> Float[Array, "... C"]:
        """The most probable latents."""
        return self.mean

    def kl(self) -> Float[Array, "..."]:
        """Nats from the standard normal distribution, of every place."""
        return 0.5 * (jnp.square(self.mean) + jnp.exp(self.logvar) - 1 - self.logvar).sum(-1)


def latents_of(module: nn.Module, posterior: Posterior) -> Float[Array, "... C"]:
    """Drawn where the module was given a key "sample", and the most probable ones where not."""
    return posterior.sample(module.make_rng("sample")) if module.has_rng("sample") else posterior.mode()


@dataclasses.dataclass(frozen=True)
class Scale:
    """Latents of a codec <-> what a denoiser is trained on: (z - mean) / std, one number for all channels or one each.

    The codec's ``encode`` and ``decode`` speak of its own latents, as the published classes do; it is the published
    pipelines that scale, after ``encode`` and before ``decode``.
    """

    mean: float | tuple[float, ...] = 0.0
    std: float | tuple[float, ...] = 1.0

    def standardise(self, latents: Float[AnyArray, "... C"]) -> Float[Array, "... C"]:
        """Latents of the codec -> about zero mean and unit variance."""
        return (latents - jnp.asarray(self.mean)) / jnp.asarray(self.std)

    def restore(self, standard: Float[AnyArray, "... C"]) -> Float[Array, "... C"]:
        """The inverse of ``standardise``."""
        return standard * jnp.asarray(self.std) + jnp.asarray(self.mean)
