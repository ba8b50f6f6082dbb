"""What every quantiser shares: latents in; codes, the vectors they stand for, and their price out.

A quantiser is a module with ``size`` (how many codes there are), ``width`` (C of its latents), ``shape`` (of the codes
of one entry, most often ()) and

    __call__(latents [*n C]) -> Quantised
    lookup(codes [*n *shape]) -> vectors [*n C]

All its arithmetic is in float32. Rounding has no gradient: ``straight_through`` or ``rotated`` stands in for it.
"""

from collections.abc import Callable
from typing import Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.types import Array, Float, Int, Leaf

Through = Callable[[Array, Array], Array]  # (latents, vectors) -> vectors, with a gradient for the latents


@struct.dataclass
class Quantised:
    """codes: int32 [...]. vectors: float [... C], what the codes stand for, with the gradient of the latents they
    replace. penalty: float32 [...], what training pays for each entry.
    """

    codes: Leaf
    vectors: Leaf
    penalty: Leaf


class Quantiser(Protocol):
    """Latents to codes and back."""

    size: int
    width: int
    shape: tuple[int, ...]

    def __call__(self, latents: Float[Array, "*n C"]) -> Quantised: ...

    def lookup(self, codes: Int[Array, "*n"]) -> Float[Array, "*n C"]:
        """The vectors of codes."""


class Staged(nn.Module):
    """A quantiser made of others, all alike. stage: builds one, which compares latents as they are."""

    stage: Callable[..., nn.Module]

    @property
    def size(self) -> int:
        """How many codes each has."""
        return self.stage().size

    @property
    def width(self) -> int:
        """C of latents and vectors."""
        return self.stage().width


@struct.dataclass
class CodebookUse:
    """usage: fraction of the codes that occur. perplexity: exp of the entropy of their frequencies, 1 to size."""

    usage: Leaf
    perplexity: Leaf


def codebook_use(codes: Int[Array, "n"], *, size: int) -> CodebookUse:
    """How evenly a codebook of ``size`` is used by a sample of codes."""
    counts = jnp.bincount(codes, length=size)
    p = counts / counts.sum()
    return CodebookUse((counts > 0).mean(), jnp.exp(-jax.scipy.special.xlogy(p, p).sum()))


def straight_through(latents: Float[Array, "*n C"], vectors: Float[Array, "*n C"]) -> Float[Array, "*n C"]:
    """The vectors, with the latents' gradient as if nothing had been rounded (arXiv:1308.3432; VQ-VAE, 1711.00937)."""
    return latents + jax.lax.stop_gradient(vectors - latents)


def rotated(latents: Float[Array, "*n C"], vectors: Float[Array, "*n C"]) -> Float[Array, "*n C"]:
    """The vectors as |q| / |z| R z, with the rotation R from z to q and the lengths held fixed (arXiv:2410.06424).

    R = I - 2 r r' + 2 q z' of unit z and q, r = unit(z + q) (section 4.2). The angle between gradient and vector is
    carried over to the latent, so that entries of one cell are no longer all moved alike.
    """
    fixed = jax.lax.stop_gradient
    z, q = fixed(unit(latents)), fixed(unit(vectors))
    r = unit(z + q)
    dot = lambda a: (a * latents).sum(-1, keepdims=True)
    return fixed(_length(vectors) / _length(latents)) * (latents - 2 * r * dot(r) + 2 * q * dot(z))


def unit(x: Float[Array, "*n C"]) -> Float[Array, "*n C"]:
    """x / |x| along the last axis."""
    return x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-12)


def unchanged(x: Float[Array, "*n C"]) -> Float[Array, "*n C"]:
    """x: where others have ``unit``."""
    return x


def commit(
    latents: Float[Array, "*n C"], vectors: Float[Array, "*n C"], *, commitment: float, pull: float = 1.0
) -> Float[Array, "*n"]:
    """pull * mean_C |q - sg(z)|^2 + commitment * mean_C |sg(q) - z|^2 (VQ-VAE, arXiv:1711.00937, eq. 3)."""
    fixed = jax.lax.stop_gradient
    distance = pull * jnp.square(vectors - fixed(latents)) + commitment * jnp.square(fixed(vectors) - latents)
    return distance.mean(-1)


def _length(x: Float[Array, "*n C"]) -> Float[Array, "*n 1"]:
    return jnp.sqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-12)
