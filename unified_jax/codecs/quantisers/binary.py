"""Binary: every coordinate of the latent is one bit of the code; there is no codebook to learn or to lose.

    bit_c = [z_c > 0]      vector_c = +-magnitude      code = sum_c bit_c 2^power_c

``lookup_free``: magnitude 1 on latents as they are (LFQ: MAGVIT-v2, arXiv:2310.05737, section 3.1). ``spherical``: unit
latents and vectors (BSQ, arXiv:2406.07548, section 4), whose error is bounded. Each entry is charged

    commitment * mean_C |sg(q) - z|^2 - entropy * KL(p(code | z) || p(code))
    p(bit_c = 1 | z) = sigmoid(2 magnitude z_c / temperature),  that is  p(code | z) ~ exp(-|z - q|^2 / (2 temperature))

exactly, for 2^18 codes and more (``information``; BSQ's own bound takes bits as independent in the mean too).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.codecs.quantisers.base import Quantised, commit, straight_through, unchanged, unit
from unified_jax.codecs.quantisers.information import information
from unified_jax.core.types import Array, Float, Int


def rising(width: int) -> Int[Array, "C"]:
    """The first coordinate is the last bit of the code."""
    return jnp.arange(width)


def falling(width: int) -> Int[Array, "C"]:
    """The first coordinate is the first bit of the code, as in published files."""
    return jnp.arange(width)[::-1]


class Binary(nn.Module):
    """Codes of ``width`` bits. measure: of latents, before their signs are read. magnitude: of vectors' coordinates.

    powers: of two, of every coordinate's bit.
    """

    shape = ()

    width: int
    measure: Callable[[Array], Array]
    magnitude: float
    commitment: float = 0.25
    entropy: float = 0.1
    temperature: float = 0.5
    powers: Callable[[int], Array] = rising

    @property
    def size(self) -> int:
        """How many codes there are."""
        return 2**self.width

    def __call__(self, latents: Float[Array, "*n C"]) -> Quantised:
        z = self.measure(latents.astype(jnp.float32))
        bits = z > 0
        codes = (bits * 2 ** self.powers(self.width)).sum(-1).astype(jnp.int32)
        vectors = self._vectors(bits)
        penalty = commit(z, vectors, commitment=self.commitment)
        if self.entropy:
            logits = 2 * self.magnitude * z.reshape(-1, self.width) / self.temperature
            digits = [jax.nn.log_sigmoid(jnp.stack([-logits[:, c], logits[:, c]], -1)) for c in range(self.width)]
            penalty = penalty - self.entropy * information(digits).reshape(codes.shape)
        return Quantised(codes, straight_through(z, vectors), penalty)

    def lookup(self, codes: Int[Array, "*n"]) -> Float[Array, "*n C"]:
        """The vectors of codes."""
        return self._vectors((codes[..., None] >> self.powers(self.width)) & 1)

    def _vectors(self, bits: Array) -> Float[Array, "*n C"]:
        return self.magnitude * jnp.where(bits, 1.0, -1.0)


def lookup_free(*, width: int, **fields: Any) -> Binary:
    """LFQ: 2 ** width codes on the corners of the cube."""
    return Binary(width, unchanged, 1.0, **fields)


def spherical(*, width: int, **weights: float) -> Binary:
    """BSQ: 2 ** width codes on the unit sphere."""
    return Binary(width, unit, width**-0.5, **weights)
