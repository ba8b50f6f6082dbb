"""Hiding: entries that are not there, as of a masked autoencoder, which runs on the others alone (arXiv:2111.06377).

Arrays keep their shape: the slot of a hidden entry is empty, nothing sees it, and those behind it in its document move
up by one. The entry's time is 1, by which embedders and heads know it.
"""

import jax
import jax.numpy as jnp

from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Array, Bool


def hide(seq: Interleaved, stream: str, *, hidden: Bool[Array, "B N"]) -> Interleaved:
    """The batch without the hidden entries of a stream. It has one lane, in which every slot of the document has a
    sequence index of its own, and documents lie one behind the other.
    """
    ((lane, slots),) = seq.lanes.items()
    payload, (batch, capacity) = seq.streams[stream], slots.doc.shape
    at = jnp.where(hidden, payload.slot, capacity)
    gone = jnp.zeros((batch, capacity), bool).at[jnp.arange(batch)[:, None], at].set(True, mode="drop")
    before = jnp.cumsum(gone, 1) - gone
    begins = jnp.diff(slots.doc, axis=1, prepend=-1) != 0
    moved = before - jax.lax.cummax(jnp.where(begins, before, 0), axis=1)
    slots = slots.replace(doc=jnp.where(gone, 0, slots.doc), pos=slots.pos.at[..., 0].add(-moved))
    time = jnp.where(hidden, 1.0, payload.time)
    return Interleaved({lane: slots}, seq.streams).put(stream, time=time)
