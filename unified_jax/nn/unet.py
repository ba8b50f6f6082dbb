"""The two halves of a U-Net with a transformer between them (Transfusion, arXiv:2408.11039, section 3; blocks as of
arXiv:2102.09672): latents of a picture -> one state for each window of them, and back.

    Down     conv + time, at each level depth ResBlocks, a halving between levels; every result is kept
    Up       at each level depth + 1 ResBlocks, each of x beside what Down kept last; a doubling between levels

    payload [B N P], of each picture its windows in reading order
    UnetEmbed    in(Down(latents, time))                 UnetHead    Up(out(states), kept)

A window is as large as the levels halve. Norms are plain, over the channels of each place; the time is added once.
Pictures are all of one grid, so that which entries are a picture is known before anything runs; behind the last whole
one lies padding.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, DTypeLike, Float, Int
from unified_jax.nn.condition import WAVES
from unified_jax.nn.conv import Conv, ResBlock
from unified_jax.nn.dense import Dense
from unified_jax.nn.embed import sincos
from unified_jax.nn.mlp import Mlp
from unified_jax.nn.norm import LayerNorm
from unified_jax.nn.resize_conv import Downsample, Upsample


def _norm(name: str) -> LayerNorm:
    return LayerNorm(1e-6, name=name)


class Down(nn.Module):
    """widths: channels of every level, the finest first. depth: ResBlocks of each. window: latents along its side."""

    widths: tuple[int, ...]
    depth: int
    grid: tuple[int, int]
    dtype: DTypeLike = jnp.float32

    @property
    def window(self) -> int:
        return 2 ** (len(self.widths) - 1)

    def count(self, room: int) -> int:
        """How many pictures there is room for."""
        return room // (self.grid[0] * self.grid[1])

    @nn.compact
    def __call__(self, payload: Payload) -> list[Float[Array, "b ..."]]:
        """All that is kept of the pictures of all rows, the coarsest last."""
        latents, time = self._pictures(payload)
        told = Mlp(self.widths[0], jax.nn.silu, features=self.widths[0], name="time")(sincos(time, WAVES))
        x = Conv(self.widths[0], dtype=self.dtype, name="in")(latents) + told[:, None, None].astype(self.dtype)
        kept = [x]
        for level, width in enumerate(self.widths):
            if level:
                kept.append(Downsample(dtype=self.dtype, name=f"down_{level}")(kept[-1]))
            for i in range(self.depth):
                block = ResBlock(width, _norm, self.dtype, name=f"level_{level}_block_{i}")
                kept.append(block(kept[-1]))
        return kept

    def _pictures(self, payload: Payload) -> tuple[Float[Array, "b H W C"], Float[Array, "b"]]:
        size = self.grid[0] * self.grid[1]
        whole = self.count(payload.values.shape[1]) * size
        grid = dict(h=self.grid[0], w=self.grid[1], p=self.window, q=self.window)
        latents = rearrange(payload.values[:, :whole], "b (n h w) (p q c) -> (b n) (h p) (w q) c", **grid)
        return latents, payload.time[:, :whole:size].reshape(-1)


class Up(nn.Module):
    """Of the same widths and depth. features: channels of a latent."""

    widths: tuple[int, ...]
    depth: int
    features: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w C"], kept: list[Float[Array, "b ..."]]) -> Float[Array, "b H W D"]:
        kept = list(kept)
        for level, width in reversed(list(enumerate(self.widths))):
            for i in range(self.depth + 1):
                block = ResBlock(width, _norm, self.dtype, name=f"level_{level}_block_{i}")
                x = block(jnp.concatenate([x, kept.pop()], -1))
            if level:
                x = Upsample(dtype=self.dtype, name=f"up_{level}")(x)
        return Conv(self.features, name="out")(jax.nn.silu(_norm("norm")(x)).astype(jnp.float32))


class UnetEmbed(nn.Module):
    """The embedder of the stream. width: of the states."""

    down: Down
    width: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        batch, room, _ = payload.values.shape
        if not self.down.count(room):
            return jnp.zeros((batch, room, self.width), self.dtype)
        y = Dense(self.width, use_bias=True, dtype=self.dtype, name="in")(self.down(payload)[-1])
        return _entries(y, batch=batch, room=room)


class UnetHead(nn.Module):
    """The head of the stream. down: the embedder's own."""

    down: Down
    up: Up
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, states: Float[Array, "B N D"], payload: Payload) -> Float[Array, "B N P"]:
        batch, room, features = payload.values.shape
        if not (pictures := self.down.count(room)):
            return jnp.zeros((batch, room, features), jnp.float32)
        rows, columns = self.down.grid
        read = states[:, : pictures * rows * columns].reshape(batch * pictures, rows, columns, -1)
        y = Dense(self.down.widths[-1], use_bias=True, dtype=self.dtype, name="out")(read)
        y = self.up(y, self.down(payload))
        y = rearrange(y, "b (h p) (w q) c -> b h w (p q c)", p=self.down.window, q=self.down.window)
        return _entries(y, batch=batch, room=room)


def _entries(y: Float[Array, "b h w D"], *, batch: int, room: int) -> Float[Array, "B N D"]:
    """The pictures' places as entries; zeros behind the last."""
    entries = y.reshape(batch, -1, y.shape[-1])
    return jnp.pad(entries, ((0, 0), (0, room - entries.shape[1]), (0, 0)))
