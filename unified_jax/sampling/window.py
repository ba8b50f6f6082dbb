"""Window: a stretch of a batch's slots as a batch of its own, and a stretch of a stream's entries."""

import jax
import jax.numpy as jnp

from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array


def window(blank: Interleaved, *, first: Array | int, count: int) -> Interleaved:
    """So many slots from ``first`` on, of the batch's one lane; entries elsewhere become padding."""
    cut = lambda x: jax.lax.dynamic_slice_in_dim(x, first, count, axis=1)

    def moved(payload: Payload) -> Payload:
        slot = payload.slot - first
        slot = jnp.where((slot >= 0) & (slot < count), slot, count)
        return payload.replace(slot=slot, read=jnp.clip(payload.read - first, 0, count - 1))

    streams = {name: moved(payload) for name, payload in blank.streams.items()}
    return Interleaved(jax.tree.map(cut, blank.lanes), streams)


def entries(payload: Payload, first: Array | int, count: int = 1) -> Payload:
    """So many entries from ``first`` on."""
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, first, count, axis=1), payload)
