"""Attention inside windows: which patches see which, told from the definition patch by patch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.mask import visible
from unified_jax.core.sequence import Slots
from unified_jax.nn.attention import attend_visible
from unified_jax.nn.grid_windows import in_windows, windowed
from unified_jax.nn.stack import UNLIMITED

SHAPES = [(5, 3), (2, 7), (1, 1)]  # windows of 2 are cut at borders


@pytest.fixture(scope="module")
def slots() -> Slots:
    """Pictures of these shapes behind each other, and two empty slots."""
    place = np.concatenate([np.indices(shape).reshape(2, -1).T for shape in SHAPES] + [np.zeros((2, 2))])
    sizes = [rows * columns for rows, columns in SHAPES]
    doc = np.repeat([*range(1, len(SHAPES) + 1), 0], [*sizes, 2])
    zeros, index = np.zeros(len(doc)), np.arange(len(doc))[:, None]
    pos = np.concatenate([index, place], 1)
    ints = lambda x: jnp.asarray(x, jnp.int32)[None]
    return Slots(ints(doc), ints(zeros), ints(zeros).astype(bool), ints(pos))


@pytest.mark.parametrize("side", [1, 2, 3, UNLIMITED])
def test_patches_of_one_window_see_each_other(slots, side):
    seen = windowed(slots, jnp.int32(side))
    doc, place = np.asarray(slots.doc[0]), np.asarray(slots.pos[0, :, 1:])
    same = lambda i, j: doc[i] == doc[j] > 0 and all(a // side == b // side for a, b in zip(place[i], place[j]))
    want = [[same(i, j) for j in range(len(doc))] for i in range(len(doc))]
    np.testing.assert_array_equal(visible(seen, seen)[0], want)


def test_a_layer_with_a_window_reads_only_inside_it(slots, getkey):
    q, k, v = (jax.random.normal(getkey(), (1, slots.capacity, 2, 4)) for _ in range(3))
    windows = in_windows(attend_visible)
    run = lambda v, window: windows(q, k, v, slots=slots, window=window)
    outside = v.at[:, 2].add(1.0)  # the third patch of the first row, alone in its column of windows
    used = np.asarray(slots.doc[0]) > 0
    inside, whole = (used & (np.abs(run(outside, n) - run(v, n)).max((0, 2, 3)) > 1e-6) for n in (2, None))
    assert set(np.flatnonzero(inside)) == {2, 5} and set(np.flatnonzero(whole)) == set(range(15))
