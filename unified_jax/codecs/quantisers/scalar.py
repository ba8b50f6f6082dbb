"""Scalar: every coordinate of the latent is rounded to one of a few levels (FSQ, arXiv:2309.15505, appendix A.1).

    y_c = h_c tanh(z_c + s_c) - o_c       h_c = (L_c - 1) (1 - 0.001) / 2
    o_c = 1/2 for even L_c, else 0        s_c = tan(o_c / h_c), which brings z = 0 close to y = 0
    vector_c = round(y_c) / (L_c // 2)    code = sum_c (round(y_c) + L_c // 2) prod_(i < c) L_i

Rounding passes the gradient straight through. Nothing collapses, so the paper charges nothing; with ``entropy`` an
entry is charged - entropy * KL(p(code | z) || p(code)), p(level | z) ~ exp(-(y - level)^2 / (2 temperature)).
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.codecs.quantisers.base import Quantised, straight_through
from unified_jax.codecs.quantisers.information import information
from unified_jax.core.types import Array, Float, Int

MARGIN = 1e-3  # keeps what is rounded off the middle between two levels


class Scalar(nn.Module):
    """levels: how many each coordinate has; the paper advises 5 or more of each (section 4.2)."""

    levels: tuple[int, ...]
    entropy: float = 0.0
    temperature: float = 0.5

    @property
    def size(self) -> int:
        """How many codes there are."""
        return math.prod(self.levels)

    @property
    def width(self) -> int:
        """C of latents and vectors."""
        return len(self.levels)

    def __call__(self, latents: Float[Array, "*n C"]) -> Quantised:
        y = self._bounded(latents.astype(jnp.float32))
        whole = jnp.round(y)
        codes = ((whole.astype(jnp.int32) + self._half) * self._basis).sum(-1).astype(jnp.int32)
        penalty = jnp.zeros(codes.shape, jnp.float32)
        if self.entropy:
            penalty = penalty - self.entropy * information(self._digits(y)).reshape(codes.shape)
        return Quantised(codes, straight_through(y, whole) / self._half, penalty)

    def lookup(self, codes: Int[Array, "*n"]) -> Float[Array, "*n C"]:
        """The vectors of codes."""
        return ((codes[..., None] // self._basis) % np.array(self.levels) - self._half) / self._half

    @property
    def _half(self) -> np.ndarray:
        return np.array(self.levels) // 2

    @property
    def _basis(self) -> np.ndarray:
        return np.cumprod((1, *self.levels[:-1]))

    def _bounded(self, z: Float[Array, "*n C"]) -> Float[Array, "*n C"]:
        reach = (np.array(self.levels) - 1) * (1 - MARGIN) / 2
        offset = np.where(np.array(self.levels) % 2, 0.0, 0.5)
        shift = np.tan(offset / reach)
        return (reach * jnp.tanh(z + shift) - offset).astype(jnp.float32)

    def _digits(self, y: Float[Array, "*n C"]) -> list[Float[Array, "n V"]]:
        """Log-probabilities of every level of every coordinate."""
        steps = [np.arange(count) - half for count, half in zip(self.levels, self._half)]
        flat = y.reshape(-1, self.width)
        return [
            jax.nn.log_softmax(-jnp.square(flat[:, c, None] - step) / (2 * self.temperature))
            for c, step in enumerate(steps)
        ]
