"""Attention without softmax over the places of a picture, in time linear in their number (arXiv:2205.14756, 3.1).

out_t = sum_s (relu(q_t) . relu(k_s)) v_s / sum_s relu(q_t) . relu(k_s)
      = relu(q_t) (sum_s relu(k_s) v_s^T) / relu(q_t) (sum_s relu(k_s))
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.conv import DepthwiseConv
from unified_jax.nn.dense import Dense
from unified_jax.nn.norm import RMSNorm

EXPAND = 4  # of all published networks
SMALLEST = 1e-15  # added to the denominator: a query that no key answers gives zeros


def attend_linearly(
    q: Float[Array, "B T H C"], k: Float[Array, "B S H C"], v: Float[Array, "B S H D"]
) -> Float[Array, "B T H D"]:
    """The second form of the file's equation, in float32."""
    q, k, v = jax.nn.relu(q.astype(jnp.float32)), jax.nn.relu(k.astype(jnp.float32)), v.astype(jnp.float32)
    values = jnp.einsum("BSHC,BSHD->BHCD", k, v)
    weight = jnp.einsum("BTHC,BHC->BTH", q, k.sum(1))
    return jnp.einsum("BTHC,BHCD->BTHD", q, values) / (weight[..., None] + SMALLEST)


class MultiscaleAttention(nn.Module):
    """x + norm(o(attention)) with heads of several scales: q, k and v of a place, and of windows around it.

    scales: sides of the windows, each a convolution of every channel by itself and a product within heads. What the
    published networks call q, k and v are stored as three products, but a head takes the next 3 * head_dim channels of
    them in one row: its own q, k and v need not come from the products of these names.
    """

    head_dim: int
    scales: tuple[int, ...] = ()
    norm: Callable[..., nn.Module] = RMSNorm
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        batch, height, width, channels = x.shape
        heads = channels // self.head_dim
        inner = heads * self.head_dim
        row = jnp.concatenate([Dense(inner, dtype=self.dtype, name=name)(x) for name in "qkv"], -1)
        rows = [row]
        for i, size in enumerate(self.scales):
            around = DepthwiseConv(size, use_bias=False, dtype=self.dtype, name=f"window_{i}")(row)
            rows.append(WithinHeads(3 * heads, dtype=self.dtype, name=f"mix_{i}")(around))
        every = jnp.concatenate(rows, -1).reshape(batch, height * width, -1, 3, self.head_dim)
        out = attend_linearly(*jnp.moveaxis(every, 3, 0)).astype(self.dtype)
        out = Dense(channels, dtype=self.dtype, name="o")(out.reshape(batch, height, width, -1))
        return x + self.norm(name="norm")(out)


class WithinHeads(nn.Module):
    """A product of the channels of each of ``heads`` groups with a matrix of its own."""

    heads: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        size = x.shape[-1] // self.heads
        init = nn.initializers.lecun_normal(in_axis=0, out_axis=2, batch_axis=1)
        kernel = self.param("kernel", init, (size, self.heads, size), jnp.float32)
        apart = x.astype(self.dtype).reshape(*x.shape[:-1], self.heads, size)
        return jnp.einsum("BHWgc,cgd->BHWgd", apart, kernel.astype(self.dtype)).reshape(x.shape)


class GatedConv(nn.Module):
    """x + norm(down(a * silu(b))), [a b] = conv(silu(up(x))) of 3 x 3, every channel by itself (arXiv:2410.10629, 2.2).

    a and b have ``EXPAND`` times the channels of x.
    """

    norm: Callable[..., nn.Module] = RMSNorm
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
        channels = x.shape[-1]
        inner = 2 * EXPAND * channels
        y = jax.nn.silu(Dense(inner, use_bias=True, dtype=self.dtype, name="up")(x))
        a, b = jnp.split(DepthwiseConv(dtype=self.dtype, name="conv")(y), 2, -1)
        y = Dense(channels, dtype=self.dtype, name="down")(a * jax.nn.silu(b))
        return x + self.norm(name="norm")(y)
