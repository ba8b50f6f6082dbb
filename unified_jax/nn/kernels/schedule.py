"""The order in which a kernel visits tiles: only those that hold something visible, those of one row in succession."""

from typing import NamedTuple

import jax.numpy as jnp

from unified_jax.core.types import Array, Bool, Int, Leaf

VISIT, FIRST, LAST, BITS = 1, 2, 4, 3


class Schedule(NamedTuple):
    """One list of tiles for each batch row, every tile row by row.

    entries: int32 [B N], tile number (row * columns + column) above three bits: VISIT, unless the step is for nothing;
      FIRST and LAST of its row. Every row has at least one entry, so that something is written for it. A list that is
      shorter than the longest repeats its last tile, which fetches and writes nothing.
    steps: int32 [], length of the longest list.
    """

    entries: Leaf
    steps: Leaf


def flat(visit: Bool[Array, "B rows columns"]) -> Schedule:
    """A single list for the whole batch row, for a grid whose steps run one after another."""
    batch, rows, columns = visit.shape
    kept = visit.at[:, :, 0].max(~visit.any(-1))
    ahead = jnp.cumsum(kept, -1)
    first, last = ahead == 1, ahead == ahead[..., -1:]
    flags = VISIT * visit + FIRST * first + LAST * last
    entries = (jnp.arange(rows * columns) << BITS) + flags.reshape(batch, -1)
    kept = kept.reshape(batch, -1)
    count = kept.sum(-1, keepdims=True)
    order = jnp.argsort(~kept, axis=-1, stable=True)
    entries = jnp.take_along_axis(entries, order, -1)
    end = jnp.take_along_axis(entries, count - 1, -1) >> BITS << BITS
    entries = jnp.where(jnp.arange(rows * columns) < count, entries, end)
    return Schedule(entries.astype(jnp.int32), count.max().astype(jnp.int32))


def by_row(visit: Bool[Array, "... rows columns"]) -> tuple[Int[Array, "... rows columns"], Int[Array, "... rows"]]:
    """For every row its visited columns, in order and ahead of the others, and how many they are."""
    return jnp.argsort(~visit, axis=-1, stable=True).astype(jnp.int32), visit.sum(-1, dtype=jnp.int32)
