"""The one mask rule. Every attention pattern of every family is a choice of integers under it.

    visible(q, k) = doc_q == doc_k > 0  and  block_k <= block_q  and  (block_k == block_q  or  not private_k)

Causal text counts ``block`` up; an image that sees itself is one ``block``; a noised copy that nothing later may see
is ``private``; packed documents differ in ``doc``. Physical order is free: the rule reads ids, never positions.
"""

from unified_jax.core.sequence import Slots
from unified_jax.core.types import AnyArray, Bool


def visible(q: Slots, k: Slots) -> Bool[AnyArray, "B T S"]:
    """Which key slots each query slot may attend to."""
    doc_q, doc_k = q.doc[:, :, None], k.doc[:, None, :]
    block_q, block_k = q.block[:, :, None], k.block[:, None, :]
    own = block_k == block_q
    return (doc_q == doc_k) & (doc_k > 0) & (block_k <= block_q) & (own | ~k.private[:, None, :])
