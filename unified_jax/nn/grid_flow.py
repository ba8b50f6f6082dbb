"""What stands around a language model whose states carry a flow of latents: convolutions on the grid before and after
it, and a skip between them (U-ViT, arXiv:2209.12152, section 3; JanusFlow, arXiv:2411.07975, section 3.2).

    payload [B N P], of each picture: time, latent, ..., latent
    GridEmbed    [condition, out(map)]            map, condition = GridEncoder(latents, time)
    GridHead     [0, out(blocks([in(states), map]))]

Pictures are headed (``headed.py``): the first entry of each only tells the time.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, DTypeLike, Float, Int
from unified_jax.nn.convnext import ConvNext
from unified_jax.nn.dense import Dense
from unified_jax.nn.embed import sincos
from unified_jax.nn.headed import Grid, count, entries, pictures, whole
from unified_jax.nn.mlp import Mlp


class GridEncoder(nn.Module):
    """width: of the map. told: width of the condition, which is made of the time. depth: blocks. norm: partial.

    patch: (rows, columns, channels) of an entry.
    """

    width: int
    told: int
    depth: int
    patch: tuple[int, int, int]
    norm: Callable[..., nn.Module]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W P"], time: Float[Array, "B"]) -> tuple[Array, Array]:
        """Entries on their grid -> map [B H W C], condition [B E]. time: 0 = clean, 1 = noise."""
        waves = sincos(1 - time, self.width)  # the published clock runs from the noise to the data
        condition = Mlp(self.told, jax.nn.silu, features=self.told, name="time")(waves)
        patches = x.reshape(*x.shape[:3], *self.patch)
        y = Dense(self.width, axes=3, use_bias=True, dtype=self.dtype, name="in")(patches)
        for i in range(self.depth):
            y = ConvNext(self.norm, dtype=self.dtype, name=f"block_{i}")(y, condition)
        return y, condition


class GridEmbed(nn.Module):
    """The embedder of the stream. width: of the states, which is that of the condition."""

    encoder: GridEncoder
    grid: Grid
    width: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        batch, room, _ = payload.values.shape
        if not count(room, self.grid):
            return jnp.zeros((batch, room, self.width), self.dtype)
        y, condition = self.encoder(*pictures(payload, self.grid))
        y = Dense(self.width, use_bias=True, dtype=self.dtype, name="out")(y)
        return entries(y, condition.astype(self.dtype), batch=batch, room=room)


class GridHead(nn.Module):
    """The head of the stream. encoder: the embedder's own. depth: blocks. norm, norm_in: partials, norm_in of what the
    head reads.
    """

    encoder: GridEncoder
    grid: Grid
    depth: int
    norm: Callable[..., nn.Module]
    norm_in: Callable[..., nn.Module]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, states: Float[Array, "B N D"], payload: Payload) -> Float[Array, "B N P"]:
        batch, room, features = payload.values.shape
        if not count(room, self.grid):
            return jnp.zeros((batch, room, features), jnp.float32)
        skip, condition = self.encoder(*pictures(payload, self.grid))
        read = whole(states, self.grid).reshape(*skip.shape[:3], -1)
        y = Dense(skip.shape[-1], use_bias=True, dtype=self.dtype, name="in")(self.norm_in(name="norm_in")(read))
        y = jnp.concatenate([self.norm(name="norm_map")(y), skip], -1)
        for i in range(self.depth):
            y = ConvNext(self.norm, dtype=self.dtype, name=f"block_{i}")(y, condition)
        y = self.norm(name="norm_out")(y).astype(jnp.float32)
        y = Dense(self.encoder.patch, use_bias=True, name="out")(y).reshape(*y.shape[:3], features)
        return entries(y, jnp.zeros((len(y), features)), batch=batch, room=room)
