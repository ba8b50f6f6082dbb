"""What stands around a language model whose states carry a flow of latents: convolutions on the grid before and after
it, and a skip between them (U-ViT, arXiv:2209.12152, section 3; JanusFlow, arXiv:2411.07975, section 3.2).

    payload [B N P], of each picture: time, latent, ..., latent
    GridEmbed    [condition, out(map)]            map, condition = GridEncoder(latents, time)
    GridHead     [0, out(blocks([in(states), map]))]

The first entry of a picture only tells its time: its values are read by nobody, its prediction is 0, and the time is
that of the latents. Pictures are all of one grid, and what lies behind the last whole one is padding, as in ``Vision``.
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
from unified_jax.nn.mlp import Mlp

Grid = tuple[int, int]


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
        if not _count(room, self.grid):
            return jnp.zeros((batch, room, self.width), self.dtype)
        y, condition = self.encoder(*_pictures(payload, self.grid))
        y = Dense(self.width, use_bias=True, dtype=self.dtype, name="out")(y)
        return _entries(y, condition.astype(self.dtype), batch=batch, room=room)


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
        if not _count(room, self.grid):
            return jnp.zeros((batch, room, features), jnp.float32)
        skip, condition = self.encoder(*_pictures(payload, self.grid))
        read = _whole(states, self.grid).reshape(*skip.shape[:3], -1)
        y = Dense(skip.shape[-1], use_bias=True, dtype=self.dtype, name="in")(self.norm_in(name="norm_in")(read))
        y = jnp.concatenate([self.norm(name="norm_map")(y), skip], -1)
        for i in range(self.depth):
            y = ConvNext(self.norm, dtype=self.dtype, name=f"block_{i}")(y, condition)
        y = self.norm(name="norm_out")(y).astype(jnp.float32)
        y = Dense(self.encoder.patch, use_bias=True, name="out")(y).reshape(*y.shape[:3], features)
        return _entries(y, jnp.zeros((len(y), features)), batch=batch, room=room)


def _count(room: int, grid: Grid) -> int:
    """How many pictures there is room for."""
    return room // (1 + grid[0] * grid[1])


def _whole(x: Float[Array, "B N D"], grid: Grid) -> Float[Array, "b n D"]:
    """The latents of every picture, without what tells its time."""
    size, count = 1 + grid[0] * grid[1], _count(x.shape[1], grid)
    return x[:, : count * size].reshape(len(x) * count, size, x.shape[-1])[:, 1:]


def _pictures(payload: Payload, grid: Grid) -> tuple[Float[Array, "b H W P"], Float[Array, "b"]]:
    """The pictures of all rows, and their times."""
    latents = _whole(payload.values, grid)
    return latents.reshape(len(latents), *grid, -1), _whole(payload.time[..., None], grid)[:, 0, 0]


def _entries(y: Float[Array, "b H W D"], first: Float[Array, "b D"], *, batch: int, room: int) -> Float[Array, "B N D"]:
    """What every entry has: ``first`` and then the grid, of all pictures; zeros where there is none."""
    states = jnp.concatenate([first[:, None], y.reshape(len(y), -1, y.shape[-1])], 1).reshape(batch, -1, y.shape[-1])
    return jnp.pad(states, ((0, 0), (0, room - states.shape[1]), (0, 0)))
