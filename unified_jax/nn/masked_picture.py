"""The two ends of a masked autoencoder of pictures whose entries are drawn by a head of each (MAR, arXiv:2406.11838,
section 3.4 and appendix A).

    payload [B N P], of each picture:  entry, ..., entry, buffer, ..., buffer       hidden entries have time 1
    MaskedEmbed      norm([in(entry), class of buffer] + place)
    MaskedDecoder    norm(stack([in(state), or mask where it is hidden] + place)) + place of what is drawn

In between goes a stack in which hidden entries are not there (``core/hiding.py``). The buffer is slots that always are,
and carry the class. Pictures are all of one grid; behind the last whole one lies padding.
"""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Draft, Payload, one_block
from unified_jax.core.types import Array, Bool, DTypeLike, Float, Int, Shaped
from unified_jax.nn.dense import Dense
from unified_jax.nn.head import TokenFlow
from unified_jax.nn.resample import linear
from unified_jax.nn.stack import Stack

Norm = Callable[..., nn.Module]  # a partial


@dataclasses.dataclass(frozen=True)
class Buffered:
    """Where pictures lie in a stream. grid: (rows, columns) of each. buffer: entries behind them."""

    grid: tuple[int, int]
    buffer: int

    @property
    def entries(self) -> int:
        """That are drawn, of each picture."""
        return self.grid[0] * self.grid[1]

    @property
    def size(self) -> int:
        """All entries of each picture."""
        return self.entries + self.buffer

    def count(self, x: Shaped[Array, "B N ..."]) -> int:
        """How many pictures a row has room for; without any, a chunk of text, say, no network should run."""
        return x.shape[1] // self.size

    def split(self, x: Shaped[Array, "B N ..."]) -> Shaped[Array, "b S ..."]:
        """The pictures of all rows, as rows of their own."""
        count = self.count(x)
        return x[:, : count * self.size].reshape(len(x) * count, self.size, *x.shape[2:])

    def join(self, y: Float[Array, "b n D"], *, like: Shaped[Array, "B N ..."]) -> Float[Array, "B N D"]:
        """The inverse, in as many rows as ``like`` has, where pictures may lack their last entries; zeros there."""
        (batch, room), (_, n, width) = like.shape[:2], y.shape
        y = jnp.pad(y, ((0, 0), (0, self.size - n), (0, 0))).reshape(batch, self.count(like) * self.size, width)
        return jnp.pad(y, ((0, 0), (0, room - y.shape[1]), (0, 0)))


class GridPlaces(nn.Module):
    """A learned table over a grid, resized to another, and behind it rows for so many more slots.

    source: (rows, columns) of the table.
    """

    source: tuple[int, int]
    pictures: Buffered
    width: int
    more: int = 0

    @nn.compact
    def __call__(self) -> Float[Array, "n D"]:
        table = lambda name, *shape: self.param(name, nn.initializers.normal(0.02), (*shape, self.width), jnp.float32)
        sides = zip(self.pictures.grid, self.source)
        weights = [linear(jnp.arange(size), jnp.full(size, size), source=source) for size, source in sides]
        grid = jnp.einsum("ri,cj,ijd->rcd", *weights, table("grid", *self.source), precision="highest")
        places = grid.reshape(self.pictures.entries, self.width)
        return jnp.concatenate([places, table("more", 1, self.more)[0]]) if self.more else places


class MaskedEmbed(nn.Module):
    """The embedder of the stream. source: grid of the table of places. classes: the piece that embeds the class."""

    pictures: Buffered
    source: tuple[int, int]
    classes: nn.Module
    width: int
    norm: Norm
    dtype: DTypeLike = jnp.float32

    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        if not self.pictures.count(payload.values):
            return jnp.zeros((*payload.slot.shape, self.width), self.dtype)
        return self.pictures.join(self.split(payload), like=payload.values)

    @nn.compact
    def split(self, payload: Payload) -> Float[Array, "b S D"]:
        """Of every picture."""
        of, x = self.pictures, Dense(self.width, use_bias=True, dtype=self.dtype, name="in")(payload.values)
        drawn = (jnp.arange(of.size) < of.entries)[:, None]
        x = jnp.where(drawn, of.split(x), of.split(self.classes(payload)).astype(self.dtype))
        places = GridPlaces(self.source, of, self.width, of.buffer, name="place")()
        return self.norm(name="norm")(x + places.astype(self.dtype))


class MaskedDecoder(nn.Module):
    """States of all that is shown -> what is known of every entry. width: of the stack. norm: of its states."""

    pictures: Buffered
    source: tuple[int, int]
    stack: Stack
    width: int
    norm: Norm
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b S E"], hidden: Bool[Array, "b S"]) -> Float[Array, "b n D"]:
        of = self.pictures
        places = lambda name, more: GridPlaces(self.source, of, self.width, more, name=name)().astype(self.dtype)
        mask = self.param("mask", nn.initializers.normal(0.02), (self.width,), jnp.float32)
        x = Dense(self.width, use_bias=True, dtype=self.dtype, name="in")(x)
        x = jnp.where(hidden[..., None], mask.astype(self.dtype), x) + places("place", of.buffer)
        states, _ = self.stack({"main": x}, slots=one_block(*hidden.shape))
        x = self.norm(name="norm")(states["main"])[:, : of.entries]
        return x + places("place_drawn", 0)


class MaskedHead(nn.Module):
    """A head of two parts: what is known of every entry, once for all, and a small denoiser of each by itself."""

    decoder: MaskedDecoder
    flow: TokenFlow

    def __call__(self, states: Float[Array, "B N D"], payload: Payload) -> Float[Array, "B N P"]:
        return self.flow(self.conditions(states, payload), payload)

    def conditions(self, states: Float[Array, "B N D"], payload: Payload) -> Float[Array, "B N E"]:
        """What is known of every entry, given those that are shown."""
        of = self.decoder.pictures
        if not of.count(states):
            return jnp.zeros((*states.shape[:2], self.decoder.width), states.dtype)
        return of.join(self.decoder(of.split(states), of.split(payload.time > 0)), like=states)

    def denoised(self, conditions: Float[Array, "B N E"], draft: Draft) -> Float[Array, "B N P"]:
        """What the denoiser makes of drafts of any entries, given what is known of those."""
        return self.flow.denoised(conditions, draft)
