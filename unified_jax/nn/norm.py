"""Normalisation, always computed in float32.

Every norm returns to its input's type once, at the end. Some published code returns before it multiplies by the scale;
in float32 the two are the same, in bfloat16 they differ by one rounding.

``axes`` and ``scale_axes`` say how heads share. For q of shape [B T H C]:

    partial(RMSNorm)                          each head by itself, one scale [C] for all
    partial(LayerNorm, 1e-5, scale_axes=2)    each head by itself, a scale [H C] of its own
    partial(RMSNorm, axes=2, scale_axes=2)    all heads together, scale [H C]
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, Float


class RMSNorm(nn.Module):
    """x / rms(x) * (offset + scale) + bias (arXiv:1910.07467, eq. 4).

    offset: what checkpoints leave out of their stored scale; 1 where they store the difference from 1.
    axes: how many trailing axes are normalised together. scale_axes: how many the scale covers.
    """

    epsilon: float = 1e-6
    offset: float = 0.0
    axes: int = 1
    scale_axes: int = 1
    use_bias: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        init = nn.initializers.constant(1.0 - self.offset)
        scale = self.param("scale", init, x.shape[-self.scale_axes :], jnp.float32)
        y = _to_unit(x.astype(jnp.float32), axes=self.axes, epsilon=self.epsilon)
        y = y * (self.offset + scale)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, scale.shape, jnp.float32)
        return y.astype(x.dtype)


class LayerNorm(nn.Module):
    """(x - mean) / std * scale + bias (arXiv:1607.06450, eq. 4).

    epsilon: has no default, because published models disagree (1e-5, 1e-6) and so do frameworks.
    axes: how many trailing axes are normalised together. scale_axes: how many scale and bias cover.
    use_scale, use_bias: False where they are given from outside (``nn/adaptive_norm.py``), or there are none.
    """

    epsilon: float
    use_scale: bool = True
    use_bias: bool = True
    axes: int = 1
    scale_axes: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        shape = x.shape[-self.scale_axes :]
        y = x.astype(jnp.float32)
        y = y - jnp.mean(y, _trailing(self.axes), keepdims=True)
        y = _to_unit(y, axes=self.axes, epsilon=self.epsilon)
        if self.use_scale:
            y = y * self.param("scale", nn.initializers.ones, shape, jnp.float32)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        return y.astype(x.dtype)


class UnitNorm(nn.Module):
    """x / |x|, every head by itself (arXiv:2010.04245, section 2.3)."""

    @nn.compact
    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        y = x.astype(jnp.float32)
        square = jnp.square(y).sum(-1, keepdims=True)
        return (y / jnp.sqrt(jnp.maximum(square, 1e-24))).astype(x.dtype)  # so that empty slots have a slope, 0


class SharpUnitNorm(nn.Module):
    """exp(scale) x / |x|, with a scale of every head, at most ln 100: on q, beside ``UnitNorm`` on k, attention by
    cosines (Swin v2, arXiv:2111.09883, section 3.3).
    """

    initial: float = 4.0
    most: float = 100.0

    @nn.compact
    def __call__(self, x: Float[Array, "... H C"]) -> Float[Array, "... H C"]:
        scale = self.param("scale", nn.initializers.constant(jnp.log(self.initial)), x.shape[-2:-1], jnp.float32)
        sharp = jnp.exp(jnp.minimum(scale, jnp.log(self.most)))[:, None]
        return (sharp * UnitNorm()(x.astype(jnp.float32))).astype(x.dtype)


class LayerScale(nn.Module):
    """x * scale, nothing normalised: what a layer adds starts small (CaiT, arXiv:2103.17239, section 2)."""

    initial: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        scale = self.param("scale", nn.initializers.constant(self.initial), x.shape[-1:], jnp.float32)
        return x * scale.astype(x.dtype)


class FixedNorm(nn.Module):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, by channel, with statistics that were measured once.

    What batch normalisation (arXiv:1502.03167, section 3.1) is after training: the statistics are parameters here,
    which come with published weights and are not meant to be trained.
    """

    epsilon: float

    @nn.compact
    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        weight = lambda name, init: self.param(name, init, x.shape[-1:], jnp.float32)
        mean, bias = weight("mean", nn.initializers.zeros), weight("bias", nn.initializers.zeros)
        variance, scale = weight("variance", nn.initializers.ones), weight("scale", nn.initializers.ones)
        y = (x.astype(jnp.float32) - mean) * jax.lax.rsqrt(variance + self.epsilon)
        return (y * scale + bias).astype(x.dtype)


def _trailing(axes: int) -> tuple[int, ...]:
    return tuple(range(-axes, 0))


def _to_unit(x: Float[Array, "... D"], *, axes: int, epsilon: float) -> Float[Array, "... D"]:
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), _trailing(axes), keepdims=True) + epsilon)
