"""The one mask rule. Every attention pattern of every family is a choice of integers under it.

    visible(q, k) = doc_q == doc_k > 0  and  block_k <= block_q  and  (block_k == block_q  or  not private_k)

Causal text counts ``block`` up; an image that sees itself is one ``block``; a noised copy that nothing later may see
is ``private``; packed documents differ in ``doc``. Physical order is free: the rule reads ids, never positions.

A layer with a sliding window adds one condition (Longformer, arXiv:2004.05150, 3.1, one-sided by the rule above):

    block_k == block_q  or  |index_q - index_k| < window

so that a picture, which is one block, still sees all of itself in a local layer.
"""

from unified_jax.core.sequence import Slots
from unified_jax.core.types import AnyArray, Bool, Int


def visible(q: Slots, k: Slots, window: Int[AnyArray, ""] | int | None = None) -> Bool[AnyArray, "B T S"]:
    """Which key slots each query slot may attend to; ``window`` in sequence indices, None for no limit."""
    doc_q, doc_k = q.doc[:, :, None], k.doc[:, None, :]
    block_q, block_k = q.block[:, :, None], k.block[:, None, :]
    own = block_k == block_q
    seen = (doc_q == doc_k) & (doc_k > 0) & (block_k <= block_q) & (own | ~k.private[:, None, :])
    if window is None:
        return seen
    distance = q.pos[:, :, None, 0] - k.pos[:, None, :, 0]
    return seen & (own | (abs(distance) < window))
