"""PackedVision: pictures of any sizes as an encoder and a connector show them to a language model (NaViT,
arXiv:2307.06304, section 2; BAGEL, arXiv:2505.14683, section 2.2).

    payload [B N P] -> encoder, each picture by itself -> connector -> + place(row, column) -> [B N D]

The embedder of a stream of patches, as ``Vision`` is for pictures of one size. A picture is a run of neighbouring
slots: something else, the end of a picture at least, lies between two. Padding shares one slot, so it is no run.
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
        begins = jnp.pad(jnp.diff(slot, axis=1) != 1, ((0, 0), (1, 0)), constant_values=True)
        # A picture's places are those of a picture as large as the table.
        grid = jnp.broadcast_to(jnp.asarray(self.grid, jnp.int32), place.shape)
        doc = jnp.cumsum(begins, 1, dtype=jnp.int32)
        states = self.encoder(Pictures(payload.values, doc=doc, place=place, grid=grid)).states
        states = self.connector(states, grid=(1, slot.shape[1]))
        table = self.param("place", nn.initializers.normal(1.0), (*self.grid, self.width), jnp.float32)
        return states + table[place[..., 0], place[..., 1]].astype(self.dtype)
