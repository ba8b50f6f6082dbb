"""The order in which a kernel visits tiles: only those that hold something visible, those of one row in succession."""

from typing import NamedTuple

import jax.numpy as jnp

from unified_jax.core.types import Array, Bool, Int, Leaf

VISIT, FIRST, LAST, BITS = 1, 2, 4, 3
LARGEST = jnp.iinfo(jnp.int32).max


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
    entries = ((jnp.arange(rows * columns, dtype=jnp.int32) << BITS) + flags.reshape(batch, -1)).astype(jnp.int32)
    entries = jnp.sort(jnp.where(kept.reshape(batch, -1), entries, LARGEST), axis=-1)
    end = jnp.max(jnp.where(entries < LARGEST, entries, 0), -1, keepdims=True) >> BITS << BITS
    steps = kept.sum((1, 2), dtype=jnp.int32).max()
    return Schedule(jnp.where(entries < LARGEST, entries, end), steps)


def by_row(visit: Bool[Array, "... rows columns"]) -> tuple[Int[Array, "... rows columns"], Int[Array, "... rows"]]:
    """For every row its visited columns in order, padded with a column there is not, and how many they are."""
    columns = visit.shape[-1]
    order = jnp.sort(jnp.where(visit, jnp.arange(columns, dtype=jnp.int32), columns), axis=-1)
    return order, visit.sum(-1, dtype=jnp.int32)
