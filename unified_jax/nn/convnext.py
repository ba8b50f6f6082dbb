"""ConvNeXt blocks that are told a condition (arXiv:2201.03545, section 2.6; version 2: arXiv:2301.00808, section 3).

    y = x + down(respond(gelu(up(norm(depthwise(x))))))        y (1 + scale) + shift

Scale and shift are affine in silu(condition), as in adaptive norms, but of the block's whole result.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.conv import DepthwiseConv
from unified_jax.nn.dense import Dense
from unified_jax.nn.mlp import gelu


class ResponseNorm(nn.Module):
    """x (scale n + 1) + bias, n: the norm of a channel over the picture, by the mean of all channels' (eq. 1 to 3)."""

    epsilon: float = 1e-6

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        scale, bias = (self.param(name, nn.initializers.zeros, x.shape[-1:], jnp.float32) for name in ("scale", "bias"))
        y = x.astype(jnp.float32)
        square = jnp.square(y).sum((1, 2), keepdims=True)
        norm = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)  # a slope at 0 too
        relative = norm / (norm.mean(-1, keepdims=True) + self.epsilon)
        return (y * (scale * relative + 1) + bias).astype(x.dtype)


class ConvNext(nn.Module):
    """norm: partial. size: of the convolution, along a side. expansion: of the width between the two products."""

    norm: Callable[..., nn.Module]
    size: int = 7
    expansion: int = 4
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"], condition: Float[Array, "B E"]) -> Float[Array, "B H W C"]:
        width = x.shape[-1]
        dense = lambda features, name: Dense(features, use_bias=True, dtype=self.dtype, name=name)
        y = self.norm(name="norm")(DepthwiseConv(self.size, dtype=self.dtype, name="depthwise")(x))
        y = gelu(dense(self.expansion * width, "up")(y))
        y = x + dense(width, "down")(ResponseNorm(name="respond")(y))
        modulation = Dense((2, width), use_bias=True, kernel_init=nn.initializers.zeros, name="modulation")
        told = modulation(jax.nn.silu(condition.astype(jnp.float32)))[:, None, None]
        return (y.astype(jnp.float32) * (1 + told[..., 0, :]) + told[..., 1, :]).astype(x.dtype)
