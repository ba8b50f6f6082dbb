"""Normalisation, always computed in float32."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, Float


class RMSNorm(nn.Module):
    """x / rms(x) * scale over the last axis (arXiv:1910.07467, eq. 4)."""

    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],), jnp.float32)
        y = x.astype(jnp.float32)
        y = y * jax.lax.rsqrt(jnp.mean(jnp.square(y), -1, keepdims=True) + self.epsilon)
        return (y * scale).astype(x.dtype)
