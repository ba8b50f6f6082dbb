"""Nearest: the code is the closest of a learned set of vectors (VQ-VAE, arXiv:1711.00937; VQGAN, 2012.09841).

    code = argmin_k |m(z) - m(e_k)|^2      m: unit, or unchanged

On the unit sphere of few dimensions a large codebook stays in use (ViT-VQGAN, arXiv:2110.04627, section 3.2). Each
entry is charged

    mean_C |e - sg(z)|^2 + commitment * mean_C |sg(e) - z|^2 - entropy * KL(p(code | z) || p(code))

with p(code | z) = softmax(-|z - e|^2 / (2 temperature)) and p(code) its mean over the batch (``information``). The last
term is a remedy against dead codes that needs no state: every code, chosen or not, gets a gradient towards the data.
Lightly weighted: it also pays a code for telling where in the picture its entry is, which spends the codebook on the
many empty places. The other remedy, moving averages and revival, is ``moving.py``.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.codecs.quantisers.base import Quantised, Through, commit, straight_through, unit
from unified_jax.codecs.quantisers.information import information
from unified_jax.core.types import Array, Float, Int

MOST = 2**25  # distances that are held at once: 128 MiB


class Nearest(nn.Module):
    """The nearest of ``size`` vectors of ``width`` dimensions. The file's equations define the weights.

    measure: m, of latents and vectors before they are compared. read: what ``lookup`` makes of a vector, where that is
    not m. through: the gradient.
    """

    shape = ()

    size: int
    width: int
    commitment: float = 0.25
    entropy: float = 0.0
    temperature: float = 0.05
    measure: Callable[[Array], Array] = unit
    read: Callable[[Array], Array] | None = None
    through: Through = straight_through

    def setup(self):
        self.table = self.param("codebook", nn.initializers.normal(1.0), (self.size, self.width), jnp.float32)

    def __call__(self, latents: Float[Array, "*n C"]) -> Quantised:
        z, vectors = self.measure(latents.astype(jnp.float32)), self.measure(self.table)
        codes = find_nearest(z, vectors)
        chosen = vectors[codes]
        penalty = commit(z, chosen, commitment=self.commitment)
        if self.entropy:
            told = information([jax.nn.log_softmax(nearness(z, vectors) / self.temperature)])
            penalty = penalty - self.entropy * told.reshape(codes.shape)
        return Quantised(codes, self.through(z, chosen), penalty)

    def lookup(self, codes: Int[Array, "*n"]) -> Float[Array, "*n C"]:
        """The vectors of codes."""
        return (self.read or self.measure)(self.table)[codes]


def find_nearest(z: Float[Array, "*n C"], vectors: Float[Array, "V C"]) -> Int[Array, "*n"]:
    """The codes of the vectors at the least Euclidean distance; of equal ones the first.

    Where there are many codes, few entries are compared at a time.
    """
    nearest = lambda z: jnp.argmax(nearness(z, vectors)[0], -1)
    codes = jax.lax.map(nearest, z.reshape(-1, z.shape[-1]), batch_size=max(1, MOST // len(vectors)))
    return codes.reshape(z.shape[:-1]).astype(jnp.int32)


def nearness(z: Float[Array, "*n C"], vectors: Float[Array, "V C"]) -> Float[Array, "N V"]:
    """z . e - |e|^2 / 2, which is -|z - e|^2 / 2 without the |z|^2 that all vectors share."""
    # TPUs would round the factors of a float32 product to bfloat16, and choose other codes.
    products = jnp.matmul(z.reshape(-1, z.shape[-1]), vectors.T, precision=jax.lax.Precision.HIGHEST)
    return products - jnp.square(vectors).sum(-1) / 2
