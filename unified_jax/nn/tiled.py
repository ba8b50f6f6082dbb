"""Tiled: pictures in tiles of one size, shown to a language model at places between the tiles' own.

    entry = newline weight * newline + sum of 4: weight * connector(encoder(tile))[patch]

Where a state lies between patches, as after a change of size, four of them are mixed; where a row of patches ends, a
learned vector says so (AnyRes: LLaVA-OneVision, arXiv:2408.03326, section 3.2). Which patches an entry shows is data:

    payload [B N 11 + share P]: [how many entries before it the picture begins, the picture's tiles, newline weight,
        4 patches, counted from the picture's first, 4 weights, its share of the picture's patches]
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, Float, Int, Leaf
from unified_jax.nn.vision import Vision

HEAD = 11  # numbers of an entry before its share of patches


@struct.dataclass
class Places:
    """What entries show. patch: int [n 4]. weight: float [n 4]. newline: float [n]."""

    patch: Leaf
    weight: Leaf
    newline: Leaf


NEWLINE = Places(np.zeros((1, 4)), np.zeros((1, 4)), np.ones(1))


def joined(parts: Sequence[Places]) -> Places:
    """One after another."""
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)


def payload_of(tiles: Float[np.ndarray, "M T P"], places: Places, *, share: int) -> Float[np.ndarray, "n Q"]:
    """One picture's entries. Raises ValueError for more patches than ``share`` to an entry."""
    count, patches = len(places.newline), tiles.reshape(-1, tiles.shape[-1])
    if len(patches) > count * share:
        raise ValueError(f"a picture of {len(patches)} patches for {count} entries: it is too long for its width")
    patches = np.pad(patches, ((0, count * share - len(patches)), (0, 0))).reshape(count, -1)
    told = [np.arange(count), np.full(count, len(tiles)), places.newline]
    head = np.concatenate([np.stack(told, 1), places.patch, places.weight], 1)
    return np.concatenate([head.astype(np.float32), patches.astype(np.float32)], 1)


class Tiled(Vision):
    """share: patches that an entry carries. grid: (rows, columns) of a tile. Further fields as those of ``Vision``.

    A batch without room for a tile runs no encoder.
    """

    share: int = 1

    def setup(self):
        self.newline = self.param("newline", nn.initializers.normal(self.width**-0.5), (self.width,), jnp.float32)

    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        batch, room, _ = payload.values.shape
        size = self.grid[0] * self.grid[1]
        most = room * self.share // size
        if not most:
            return jnp.zeros((batch, room, self.width), self.dtype)
        told, weight, patches = jnp.split(payload.values, [3 + 4, HEAD], -1)
        patches = patches.reshape(batch, room * self.share, -1)
        told = jnp.rint(told).astype(jnp.int32)
        first = jnp.arange(room) - told[..., 0]
        number = jnp.where(told[..., 0] == 0, told[..., 1], 0)  # of tiles of a picture that begins here
        ends = jnp.cumsum(number, 1)
        chosen = jax.vmap(lambda *row: self._tiles(*row, most=most))(patches, number, ends)
        states = self._shown(chosen.reshape(batch * most, size, -1)).reshape(batch, most * size, self.width)
        begin = size * jnp.take_along_axis(ends - number, first, 1)
        index = (begin[..., None] + told[..., 3:]).reshape(batch, -1, 1)
        four = jnp.take_along_axis(states, index, 1, mode="clip").reshape(batch, room, 4, self.width)
        mixed = jnp.einsum("bnk,bnkd->bnd", weight.astype(self.dtype), four)
        return mixed + payload.values[..., 2:3].astype(self.dtype) * self.newline.astype(self.dtype)

    def _tiles(
        self, patches: Float[Array, "L P"], number: Int[Array, "N"], ends: Int[Array, "N"], *, most: int
    ) -> Float[Array, "M T P"]:
        """The tiles of a row one after another, each picture's beginning at its own entry; what follows is no tile."""
        tile, size = jnp.arange(most), self.grid[0] * self.grid[1]
        entry = jnp.sum(ends <= tile[:, None], 1)
        within = tile - (ends - number).at[entry].get(mode="clip")
        start = entry * self.share + within * size
        return patches.at[start[:, None] + jnp.arange(size)].get(mode="clip")
