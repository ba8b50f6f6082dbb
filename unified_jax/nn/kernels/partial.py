"""Partial: attention over some of the keys, in a form that can be joined with attention over the rest."""

import jax.numpy as jnp
from flax import struct

from unified_jax.core.types import Leaf

# The log-sum-exp of no keys at all. Finite, so that no difference of two of them is NaN.
NOTHING = -1e30


@struct.dataclass
class Partial:
    """Attention of every query over one set of keys.

    out: float [B T H C], normalised over the keys seen; 0 where none is visible.
    lse: float32 [B T H], log of the sum of exp of the scaled and capped scores; ``NOTHING`` where none is visible.
    """

    out: Leaf
    lse: Leaf


def merge(a: Partial, b: Partial) -> Partial:
    """Attention over the union of two disjoint key sets, such as cached keys and a query's own."""
    lse = jnp.logaddexp(a.lse, b.lse)
    share_a, share_b = (jnp.exp(part.lse - lse)[..., None] for part in (a, b))
    out = share_a * a.out.astype(jnp.float32) + share_b * b.out.astype(jnp.float32)
    return Partial(out.astype(a.out.dtype), lse)
