"""RegStage: residual bottlenecks of depthwise convolutions that weigh their channels by the whole picture (RegNetY,
arXiv:2003.13678, 3.3; squeeze and excitation: arXiv:1709.01507), with a norm of every place's channels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.conv import EPSILON, DepthwiseConv
from unified_jax.nn.dense import Dense
from unified_jax.nn.norm import LayerNorm


class Excite(nn.Module):
    """x * sigmoid(up(silu(down(mean of x)))), through ``hidden`` channels."""

    hidden: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        y = Dense(self.hidden, use_bias=True, dtype=self.dtype, name="down")(x.mean((1, 2), keepdims=True))
        return x * jax.nn.sigmoid(Dense(x.shape[-1], use_bias=True, dtype=self.dtype, name="up")(jax.nn.silu(y)))


class RegBlock(nn.Module):
    """silu(shortcut x + norm(last(excite(silu(norm(depthwise(silu(norm(first x)))))))))."""

    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W D"]:
        norm = lambda name: LayerNorm(EPSILON, name=f"{name}_norm")
        dense = lambda name, y: norm(name)(Dense(self.features, dtype=self.dtype, name=name)(y))
        y = jax.nn.silu(dense("first", x))
        depthwise = DepthwiseConv(use_bias=False, dtype=self.dtype, name="depthwise")
        y = jax.nn.silu(norm("depthwise")(depthwise(y)))
        y = Excite(round(x.shape[-1] / 4), dtype=self.dtype, name="excite")(y)
        y = dense("last", y)
        return jax.nn.silu(y + (x if x.shape[-1] == self.features else dense("shortcut", x)))


class RegStage(nn.Module):
    """``depth`` blocks, the first of which may change the width."""

    depth: int
    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W D"]:
        for i in range(self.depth):
            x = RegBlock(self.features, dtype=self.dtype, name=f"block_{i}")(x)
        return x
