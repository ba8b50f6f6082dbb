"""Entries of streams as states at the slots of their lanes.

x[lane][b, slot of entry n] = piece of its stream(entry n); slots of no such entry are zero
"""

from collections.abc import Mapping

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Interleaved, Slots
from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.block import States


def by_lane(
    seq: Interleaved,
    pieces: Mapping[str, nn.Module],
    *,
    lane: Mapping[str, str],
    width: Mapping[str, int],
    dtype: DTypeLike,
) -> dict[str, Float[Array, "B T D"]]:
    """What pieces (stream -> piece, of a payload and its positions) make of the streams that they are for.

    lane: stream -> lane. width: lane -> D.
    """
    lanes = {}
    for name, slots in seq.lanes.items():
        own = [stream for stream in sorted(seq.streams) if lane[stream] == name and stream in pieces]
        lanes[name] = _at_slots(seq, slots, {s: pieces[s] for s in own}, width=width[name], dtype=dtype)
    return lanes


class EntryCondition(nn.Module):
    """What adaptive norms are told at the slots of every entry, by its payload alone; zeros at other slots of its lane.
    Lanes without such entries are told nothing.

    The ``condition`` of a ``Model``. pieces, lane: as of ``by_lane``. width: of what is told, E.
    """

    pieces: Mapping[str, nn.Module]
    lane: Mapping[str, str]
    width: int
    dtype: DTypeLike = jnp.float32

    def __call__(self, xs: States, seq: Interleaved) -> dict[str, Float[Array, "B T E"]]:
        """xs: the embedded lanes, which it does not read."""
        told = {self.lane[stream] for stream in self.pieces}
        seq = seq.replace(lanes={lane: slots for lane, slots in seq.lanes.items() if lane in told})
        return by_lane(seq, self.pieces, lane=self.lane, width=dict.fromkeys(xs, self.width), dtype=self.dtype)


def _at_slots(
    seq: Interleaved, slots: Slots, pieces: Mapping[str, nn.Module], *, width: int, dtype: DTypeLike
) -> Float[Array, "B T D"]:
    batch, capacity = slots.doc.shape
    x = jnp.zeros((batch * (capacity + 1), width), dtype)
    row = (capacity + 1) * jnp.arange(batch)[:, None]
    for stream, piece in pieces.items():
        payload = seq.streams[stream]
        pos = jnp.take_along_axis(slots.pos, jnp.minimum(payload.slot, capacity - 1)[..., None], 1)
        states = piece(payload, pos)
        # Padding entries all go to the spare slot behind each row, which is cut off again.
        at = x.at[(row + payload.slot).reshape(-1)]
        x = at.set(states.reshape(-1, width).astype(dtype), mode="promise_in_bounds")
    return x.reshape(batch, capacity + 1, width)[:, :capacity]
