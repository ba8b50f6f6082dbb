"""FixedNorm: batch normalisation with the statistics of its training (arXiv:1502.03167, algorithm 2)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, Float


class FixedNorm(nn.Module):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, all four of them parameters [C], in float32."""

    epsilon: float

    @nn.compact
    def __call__(self, x: Float[Array, "*n C"]) -> Float[Array, "*n C"]:
        read = lambda name, init: self.param(name, init, (x.shape[-1],), jnp.float32)
        scale, bias = read("scale", nn.initializers.ones), read("bias", nn.initializers.zeros)
        mean, variance = read("mean", nn.initializers.zeros), read("variance", nn.initializers.ones)
        scale = scale * jax.lax.rsqrt(variance + self.epsilon)
        return (x.astype(jnp.float32) * scale + (bias - mean * scale)).astype(x.dtype)
