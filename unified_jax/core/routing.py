"""RouterStats: what learned routers report of one forward pass, as sums that the balance losses are made from.

Sums, so that lanes, devices and micro-batches add up. Here, because routers (``nn``) fill it in and losses
(``objectives``) read it, and neither may import the other.
"""

import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.types import Leaf


@struct.dataclass
class RouterStats:
    """All float32, over the valid tokens only; a leading axis L where layers are scanned.

    counts: [E], how many tokens chose each expert; they sum to top_k * tokens.
    probability: [E], summed probability of each expert.
    squared_logsumexp: [], summed square of the log of the softmax's denominator.
    tokens: [], number of tokens.
    """

    counts: Leaf
    probability: Leaf
    squared_logsumexp: Leaf
    tokens: Leaf

    @classmethod
    def zeros(cls, num_experts: int) -> "RouterStats":
        return cls(*(jnp.zeros(shape) for shape in ((num_experts,), (num_experts,), (), ())))

    def __add__(self, other: "RouterStats") -> "RouterStats":
        return jax.tree.map(jnp.add, self, other)
