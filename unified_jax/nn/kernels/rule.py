"""The mask rule of ``core.mask``, element by element, so that a kernel can apply it to the ids of one tile.

    allowed(q, k) = doc_q == doc_k > 0  and  (block_k == block_q  or
                                              block_k < block_q and not private_k and |index_q - index_k| < window)

The window (of layers with local attention) limits what is seen of other blocks only, so that an image stays whole
within itself.
"""

from typing import NamedTuple

import jax.numpy as jnp

from unified_jax.core.sequence import Slots
from unified_jax.core.types import AnyArray, Array, Bool, Int, Leaf


class Ids(NamedTuple):
    """The integers of slots that decide what is visible; of any one shape.

    doc, block, private (0 or 1): as in ``Slots``.
    index: the place in the sequence, the first axis of ``Slots.pos``.
    """

    doc: Leaf
    block: Leaf
    private: Leaf
    index: Leaf


def ids(slots: Slots) -> Int[Array, "B 4 T"]:
    """The ids of every slot, one row for each field of ``Ids``."""
    return jnp.stack([slots.doc, slots.block, slots.private, slots.pos[..., 0]], 1, dtype=jnp.int32)


def allowed(query: Ids, key: Ids, *, window: AnyArray | int | None = None) -> Bool[Array, "..."]:
    """Which keys the queries may see: the shape to which the shapes of both broadcast."""
    other = (key.block < query.block) & (key.private == 0)
    if window is not None:
        other &= jnp.abs(query.index - key.index) < window
    return (query.doc == key.doc) & (key.doc > 0) & ((query.block == key.block) | other)
