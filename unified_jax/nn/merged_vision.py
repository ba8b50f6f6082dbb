"""MergedVision: pictures of any sizes, a square of patches to an entry, as an encoder and a merger show them to a
language model (Qwen2-VL, arXiv:2409.12191, section 2.1).

    payload [B N (side side P)] -> encoder, each picture by itself -> connector, square by square -> [B N D]

The embedder of a stream of squares of patches, as ``PackedVision`` is of single ones. Patches know their places, so
their order is free: a row of entries is laid out as a strip ``side`` patches high, which is a grid to the connector.
"""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.pictures import Pictures
from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, DTypeLike, Float, Int
from unified_jax.nn.encoder import Encoder
from unified_jax.nn.packed_vision import picture_numbers


class MergedVision(nn.Module):
    """encoder: of pictures, without a table of places. connector: of ``nn/connectors``, with a state for every square.
    width: of its states. side: of a square in patches.
    """

    encoder: Encoder
    connector: nn.Module
    width: int
    side: int
    dtype: DTypeLike = jnp.float32

    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        (batch, room), side, square = payload.slot.shape, self.side, pos[..., 1:]
        if not room:
            return jnp.zeros((batch, room, self.width), self.dtype)
        inside = jnp.stack(jnp.indices((side, side)), -1)
        place = side * square[:, :, None, None] + inside
        doc = picture_numbers(payload.slot, square)[:, :, None, None]
        strip = lambda x: x.swapaxes(1, 2).reshape(batch, side * room * side, *x.shape[4:])
        pictures = Pictures(
            strip(payload.values.reshape(batch, room, side, side, -1)),
            doc=strip(jnp.broadcast_to(doc, place.shape[:-1])),
            place=strip(place),
            grid=jnp.zeros((batch, side * room * side, 2), jnp.int32),  # no table is resized to it
        )
        return self.connector(self.encoder(pictures).states, grid=(side, room * side))
