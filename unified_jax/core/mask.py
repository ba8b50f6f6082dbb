"""The one mask rule. Every attention pattern of every family is a choice of integers under it.

    visible(q, k) = doc_q == doc_k > 0  and  block_k <= block_q  and  (block_k == block_q  or  not private_k)

Causal text counts ``block`` up; an image that sees itself is one ``block``; a noised copy that nothing later may see
is ``private``; packed documents differ in ``doc``. Physical order is free: the rule reads ids, never positions.

A layer with a sliding window adds one condition (Longformer, arXiv:2004.05150, 3.1, one-sided by the rule above):

    block_k == block_q  or  |index_q - index_k| < window

so that a picture, which is one block, still sees all of itself in a local layer.
"""

from typing import NamedTuple

import jax.numpy as jnp

from unified_jax.core.sequence import Slots
from unified_jax.core.types import AnyArray, Array, Bool, Int, Leaf


class Ids(NamedTuple):
    """The integers of slots that decide what is visible; of any one shape.

    doc, block, private (0 or 1): as in ``Slots``. index: the place in the sequence, the first axis of ``Slots.pos``.
    """

    doc: Leaf
    block: Leaf
    private: Leaf
    index: Leaf


def visible(q: Slots, k: Slots, window: Int[AnyArray, ""] | int | None = None) -> Bool[AnyArray, "B T S"]:
    """Which key slots each query slot may attend to; ``window`` in sequence indices, None for no limit."""
    query, key = (Ids(x.doc, x.block, x.private, x.pos[..., 0]) for x in (q, k))
    return allowed(Ids(*(x[:, :, None] for x in query)), Ids(*(x[:, None] for x in key)), window=window)


def allowed(query: Ids, key: Ids, *, window: AnyArray | int | None = None) -> Bool[AnyArray, "..."]:
    """The rule, element by element: of the shape to which the shapes of both broadcast."""
    other = (key.block < query.block) & (key.private == 0)
    if window is not None:
        other = other & (abs(query.index - key.index) < window)
    return (query.doc == key.doc) & (key.doc > 0) & ((query.block == key.block) | other)


def stacked(slots: Slots) -> Int[Array, "B 4 T"]:
    """The ids of every slot, one row for each field of ``Ids``."""
    return jnp.stack([slots.doc, slots.block, slots.private, slots.pos[..., 0]], 1, dtype=jnp.int32)
