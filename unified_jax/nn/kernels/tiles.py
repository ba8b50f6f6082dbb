"""Which tiles of [T, S] hold a visible pair, from a few integers for each strip of slots and never from pairs of slots.

Order the pairs (doc, block) first by doc, then by block. Then q can see k only if

    k is open (not private), (doc, block)_k <= (doc, block)_q, and they share the doc and, if there is one, the window
    or k has q's own (doc, block)

and each of these is a comparison of intervals once a strip is known by its first and last pair, its first open pair and
its range of indices. Text around an image that lies elsewhere (in another lane) has the image's pair in its interval
but not among its pairs; a few bits that mark which pairs there are tell. A strip is a small part of a tile: where
documents or images meet, one strip is mixed, not the whole tile. The answer may name a tile that holds no visible pair
but never misses one that does.
"""

from math import gcd
from typing import NamedTuple

import jax
import jax.numpy as jnp

from unified_jax.core.mask import Ids
from unified_jax.core.types import Array, Bool, Int

STRIP = 32  # slots
WORDS = 2  # of 32 marks each: more than the blocks of a strip of text, so that these share no mark
LARGEST = jnp.iinfo(jnp.int32).max


class Pair(NamedTuple):
    """(doc, block) of one slot in each strip, int32 [B N] each."""

    doc: Array
    block: Array

    def __le__(self, other: "Pair") -> Array:
        return (self.doc < other.doc) | ((self.doc == other.doc) & (self.block <= other.block))


class Summary(NamedTuple):
    """What is known of each strip. Where no slot counts, a first pair lies after every other and a last one before.

    first, last: of all slots that are not empty.  first_open: of those that are not private.
    lowest, highest: int32 [B N], range of the indices.
    marks: int32 [B N] each, bits set for the pairs that occur; two strips that share a pair share a bit.
    """

    first: Pair
    last: Pair
    first_open: Pair
    lowest: Array
    highest: Array
    marks: tuple[Array, ...]


def visits(
    query: Int[Array, "B 4 T"],
    key: Int[Array, "B 4 S"],
    *,
    q_tile: int,
    k_tile: int,
    window: Int[Array, ""] | int | None = None,
    strip: int = STRIP,
) -> Bool[Array, "B nq nk"]:
    """Which tiles a kernel must visit. query, key: ``core.mask.stacked`` of T and S slots, multiples of the tiles."""
    strip = gcd(strip, q_tile, k_tile)
    q, k = summarise(query, strip=strip), summarise(key, strip=strip)
    q, k = jax.tree.map(lambda x: x[:, :, None], q), jax.tree.map(lambda x: x[:, None], k)
    open_ = (k.first_open <= q.last) & (q.first.doc <= k.last.doc)
    if window is not None:
        open_ &= jnp.maximum(k.lowest - q.highest, q.lowest - k.highest) < window
    shared = sum((a & b) != 0 for a, b in zip(q.marks, k.marks, strict=True)) > 0
    needed = open_ | ((k.first <= q.last) & (q.first <= k.last) & shared)
    batch, n_q, n_k = needed.shape
    per_q, per_k = q_tile // strip, k_tile // strip
    return needed.reshape(batch, n_q // per_q, per_q, n_k // per_k, per_k).any((2, 4))


def summarise(rows: Int[Array, "B 4 T"], *, strip: int) -> Summary:
    """The summary of every ``strip`` slots."""
    rows = Ids(*jnp.moveaxis(rows.reshape(*rows.shape[:2], -1, strip), 1, 0))
    used = rows.doc > 0
    first, first_open = _first(rows, used), _first(rows, used & (rows.private == 0))
    doc = jnp.max(rows.doc, -1)
    last = Pair(doc, jnp.max(jnp.where(rows.doc == doc[..., None], rows.block, -1), -1))
    lowest = jnp.min(jnp.where(used, rows.index, LARGEST), -1)
    highest = jnp.max(jnp.where(used, rows.index, 0), -1)
    return Summary(first, last, first_open, lowest, highest, _marks(rows, used))


def _first(rows: Ids, counts: Array) -> Pair:
    doc = jnp.min(jnp.where(counts, rows.doc, LARGEST), -1)
    here = counts & (rows.doc == doc[..., None])
    return Pair(doc, jnp.min(jnp.where(here, rows.block, LARGEST), -1))


def _marks(rows: Ids, used: Array) -> tuple[Array, ...]:
    place = rows.block + 37 * rows.doc  # any odd factor keeps neighbouring documents apart
    bit = jnp.where(used, 1 << (place & 31), 0)
    word = (place >> 5) % WORDS
    return tuple(jnp.bitwise_or.reduce(jnp.where(word == n, bit, 0), axis=-1) for n in range(WORDS))
