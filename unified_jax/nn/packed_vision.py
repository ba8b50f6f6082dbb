"""PackedVision: pictures of any sizes as an encoder and a connector show them to a language model (NaViT,
arXiv:2307.06304, section 2; BAGEL, arXiv:2505.14683, section 2.2).

    payload [B N P] -> encoder, each picture by itself -> connector -> + place(row, column) -> [B N D]

The embedder of a stream of patches, as ``Vision`` is for pictures of one size. A picture is a run of neighbouring
slots: something else, the end of a picture at least, lies between two.
"""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.pictures import Pictures
from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, DTypeLike, Float, Int
from unified_jax.nn.encoder import Encoder


class PackedVision(nn.Module):
    """encoder: of pictures, without pool. connector: of ``nn/connectors``, with a state for every place. width: of its
    states. grid: (rows, columns) of both tables of places, the encoder's and that after the connector, which are not
    resized to a picture.
    """

    encoder: Encoder
    connector: nn.Module
    width: int
    grid: tuple[int, int]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        slot, place = payload.slot, pos[..., 1:]
        if not slot.shape[1]:
            return jnp.zeros((*slot.shape, self.width), self.dtype)
        # A picture's places are those of a picture as large as the table.
        grid = jnp.broadcast_to(jnp.asarray(self.grid, jnp.int32), place.shape)
        doc = picture_numbers(slot, place)
        states = self.encoder(Pictures(payload.values, doc=doc, place=place, grid=grid)).states
        states = self.connector(states, grid=(1, slot.shape[1]))
        table = self.param("place", nn.initializers.normal(1.0), (*self.grid, self.width), jnp.float32)
        return states + table[place[..., 0], place[..., 1]].astype(self.dtype)


def picture_numbers(slot: Int[Array, "B N"], place: Int[Array, "B N 2"]) -> Int[Array, "B N"]:
    """Which picture of the row, from 1, each entry is of: a run of neighbouring slots whose places change.

    Padding shares one slot, and has the place of the last: behind a picture that ends the row it is no part of it.
    """
    apart = (jnp.diff(slot, axis=1) != 1) | (jnp.diff(place, axis=1) == 0).all(-1)
    return jnp.cumsum(jnp.pad(apart, ((0, 0), (1, 0)), constant_values=True), 1, dtype=jnp.int32)
