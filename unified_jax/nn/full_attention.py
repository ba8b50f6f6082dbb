"""Attention without a mask: every query sees every key, as in codecs and connectors.

Scores of small pictures are written out, which is fastest; those of large ones, 1 GiB at 128 x 128 places in float32,
are never held: the flash kernels of ``kernels/`` take over.
"""

import jax.numpy as jnp

from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array, Float
from unified_jax.nn.attention import attend
from unified_jax.nn.kernels.by_platform import by_platform
from unified_jax.nn.kernels.per_device import per_device

MOST_SCORES = 2**26  # that are written out, of all rows and heads: 256 MiB, four pictures of 64 x 64 places


def attend_all(
    q: Float[Array, "B T H C"], k: Float[Array, "B S K C"], v: Float[Array, "B S K C"], *, most: int = MOST_SCORES
) -> Float[Array, "B T H C"]:
    """softmax(q k' / sqrt(C)) v; softmax in float32, result in q's dtype.

    most: scores that may be held at once. Raises ValueError for heads that do not divide.
    """
    (batch, queries, heads, channels), keys = q.shape, k.shape[1]
    if batch * heads * queries * keys <= most:
        return attend(q, k, v, mask=jnp.ones((batch, queries, keys), bool))
    tiles = per_device(by_platform)
    return tiles(q, k, v, query=_one_document(batch, queries), key=_one_document(batch, keys), scale=channels**-0.5).out


def _one_document(batch: int, length: int) -> Slots:
    """Slots that all see each other."""
    zeros = jnp.zeros((batch, length), jnp.int32)
    return Slots(doc=zeros + 1, block=zeros, private=zeros.astype(bool), pos=zeros[..., None])
