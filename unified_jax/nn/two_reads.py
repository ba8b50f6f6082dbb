"""TwoReads: latents of pictures read twice, for what they show and for what they are (Show-o2, arXiv:2506.15564, 3.1);
and what else such a model says of their time.

    payload [B N P], of each picture: time, entry, ..., entry
    TwoReads     [W clock(time), fuse([stack(patch U + place), patch V])]
    TellTime     [clock(time), 1] at every entry
    FlowHead     [0, out(modulate(norm(state), clock(time)))]

Pictures are headed (``headed.py``). An entry holds the latents that follow each other in reading order of the whole
picture, as many as a patch has; read are square patches of them.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from unified_jax.core.sequence import Payload, one_block
from unified_jax.core.types import Array, DTypeLike, Float, Int
from unified_jax.nn.adaptive_norm import AdaNorm
from unified_jax.nn.condition import WAVES
from unified_jax.nn.dense import Dense
from unified_jax.nn.embed import sincos
from unified_jax.nn.grid_features import resize
from unified_jax.nn.headed import Grid, count, entries, pictures, whole
from unified_jax.nn.mlp import Mlp
from unified_jax.nn.resample import cubic
from unified_jax.nn.stack import Stack


class Clock(nn.Module):
    """Two affine maps of waves of the time, which runs from the noise to the data."""

    width: int

    @nn.compact
    def __call__(self, time: Float[Array, "B"]) -> Float[Array, "B E"]:
        """time: 0 = clean, 1 = noise."""
        return Mlp(self.width, jax.nn.silu, features=self.width, name="mlp")(sincos(1 - time, WAVES, scale=1.0))


class TwoReads(nn.Module):
    """The embedder. stack: of the first read. fuse: of ``nn/connectors``, of both reads side by side, to ``width``.

    grid: (rows, columns) of every picture, in entries; table: of the learned places, which are resized to that.
    channels: of a latent. seen: width of the stack.
    """

    clock: Clock
    stack: Stack
    fuse: nn.Module
    grid: Grid
    table: Grid
    channels: int
    seen: int
    width: int
    dtype: DTypeLike = jnp.float32

    def setup(self):
        dense = lambda features, axes: Dense(features, axes=axes, use_bias=True, dtype=self.dtype)
        self.time, self.patch_seen, self.patch_plain = dense(self.width, 1), dense(self.seen, 3), dense(self.width, 3)
        shape = (*self.table, self.seen)
        self.place = self.param("place", nn.initializers.normal(self.seen**-0.5), shape, jnp.float32)

    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        batch, room, _ = payload.values.shape
        if not count(room, self.grid):
            return jnp.zeros((batch, room, self.width), self.dtype)
        values, time = pictures(payload, self.grid)
        told = self.time(self.clock(time))
        y = self.fused(self.patches(values))
        return entries(y.reshape(len(y), *self.grid, self.width), told, batch=batch, room=room)

    def patches(self, values: Float[Array, "B H W P"]) -> Float[Array, "B T p q C"]:
        """What is read, from entries on their grid."""
        side = math.isqrt(values.shape[-1] // self.channels)
        rows, columns = self.grid
        latents = values.reshape(len(values), rows * side, columns * side, self.channels)
        return rearrange(latents, "b (h p) (w q) c -> b (h w) p q c", p=side, q=side)

    def read(self, patches: Float[Array, "B T p q C"]) -> Float[Array, "B T D"]:
        """What they show."""
        x = self.patch_seen(patches)
        place = resize(self.place[None], self.grid, weights=cubic)
        x = x + place.reshape(-1, self.seen).astype(x.dtype)
        return self.stack({"main": x}, slots=one_block(*x.shape[:2]))[0]["main"]

    def fused(self, patches: Float[Array, "B T p q C"]) -> Float[Array, "B T D"]:
        """Both reads as one."""
        return self.fuse(jnp.concatenate([self.read(patches), self.patch_plain(patches)], -1), grid=self.grid)


class TellTime(nn.Module):
    """What adaptive norms are told at the slots of a picture (``SomeNorm``)."""

    clock: Clock
    grid: Grid

    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N E"]:
        batch, room, _ = payload.values.shape
        if not count(room, self.grid):
            return jnp.zeros((batch, room, self.clock.width + 1), jnp.float32)
        _, time = pictures(payload, self.grid)
        told = jnp.pad(self.clock(time), ((0, 0), (0, 1)), constant_values=1.0)
        everywhere = jnp.broadcast_to(told[:, None, None], (len(told), *self.grid, told.shape[-1]))
        return entries(everywhere, told, batch=batch, room=room)


class FlowHead(nn.Module):
    """norm: of the states, told the time."""

    clock: Clock
    grid: Grid
    norm: AdaNorm

    @nn.compact
    def __call__(self, states: Float[Array, "B N D"], payload: Payload) -> Float[Array, "B N P"]:
        batch, room, features = payload.values.shape
        if not count(room, self.grid):
            return jnp.zeros((batch, room, features), jnp.float32)
        _, time = pictures(payload, self.grid)
        read = whole(states, self.grid).astype(jnp.float32)
        normed, _ = self.norm(read, self.clock(time)[:, None])
        y = Dense(features, use_bias=True, name="out")(normed)
        return entries(y.reshape(len(y), *self.grid, features), jnp.zeros((len(y), features)), batch=batch, room=room)
