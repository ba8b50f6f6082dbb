"""The lists kernels walk along: every visited tile once, row by row, every row begun and ended once."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from unified_jax.nn.kernels.schedule import BITS, FIRST, LAST, VISIT, by_row, flat

compiled_flat, compiled_by_row = jax.jit(flat), jax.jit(by_row)
BATCH, ROWS, COLUMNS = 2, 3, 4
visit_tables = st.lists(st.booleans(), min_size=24, max_size=24).map(
    lambda x: np.array(x).reshape(BATCH, ROWS, COLUMNS)
)


@given(visit_tables)
def test_the_flat_list_is_all_visited_tiles_in_order(visit):
    entries, steps = (np.asarray(x) for x in compiled_flat(jnp.asarray(visit)))
    longest = 0
    for table, row in zip(visit, entries, strict=True):
        tiles = np.stack(np.divmod(row >> BITS, COLUMNS), -1)
        assert np.array_equal(tiles[row & VISIT != 0], np.argwhere(table))
        ends = np.flatnonzero(row & LAST)
        length = ends[-1] + 1
        starts = np.concatenate([[0], ends[:-1] + 1])
        assert np.array_equal(np.flatnonzero(row & FIRST), starts)
        assert np.array_equal(tiles[starts, 0], np.arange(ROWS)) and np.array_equal(tiles[ends, 0], np.arange(ROWS))
        assert np.all(row[length:] == row[length - 1] >> BITS << BITS)  # repeats the last tile and does nothing
        longest = max(longest, length)
    assert steps == longest


@given(visit_tables)
def test_each_row_lists_its_visited_columns_first(visit):
    order, count = (np.asarray(x) for x in compiled_by_row(jnp.asarray(visit)))
    for index in np.ndindex(BATCH, ROWS):
        assert np.array_equal(order[index][: count[index]], np.flatnonzero(visit[index]))
