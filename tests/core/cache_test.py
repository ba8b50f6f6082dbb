"""The cache: commit appends, in order, and touches nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.cache import Cache, commit, cut, empty, take
from unified_jax.core.mask import visible
from unified_jax.core.sequence import Slots
from unified_jax.core.storage import Int8

LAYERS, BATCH, HEADS, CHANNELS, CAPACITY = 2, 3, 2, 4, 10


def made(n: int, seed: int, dtype=jnp.float32) -> tuple[tuple[jax.Array, jax.Array], Slots]:
    """Keys, values and slots of one output of n slots."""
    rng = np.random.default_rng(seed)
    kv = tuple(jnp.asarray(rng.normal(size=(LAYERS, BATCH, HEADS, n, CHANNELS)), dtype) for _ in range(2))
    ids = jnp.asarray(rng.integers(1, 9, (BATCH, n)), jnp.int32)
    return kv, Slots(doc=ids, block=ids + 1, private=ids % 2 == 0, pos=jnp.stack([ids, 2 * ids, 3 * ids], -1))


@pytest.fixture
def blank() -> Cache:
    return empty(jax.eval_shape(lambda: made(7, 0)[0]), CAPACITY)


def test_an_empty_cache_has_the_asked_capacity_and_nothing_in_it_is_visible(blank):
    assert blank.capacity == CAPACITY and (blank.length == 0).all()
    assert all(x.shape == (LAYERS, BATCH, HEADS, CAPACITY, CHANNELS) for x in blank.kv)
    _, query = made(3, 1)
    assert not visible(query, blank.slots).any()


def test_pieces_are_committed_one_behind_the_other_and_the_rest_stays_empty(blank):
    pieces = [made(2, 1), made(4, 2), made(1, 3)]
    cache = blank
    for kv, slots in pieces:
        cache = jax.jit(commit)(cache, kv, slots)
    assert (cache.length == 7).all()
    for i in range(2):
        np.testing.assert_array_equal(cache.kv[i][:, :, :, :7], jnp.concatenate([kv[i] for kv, _ in pieces], 3))
        assert not cache.kv[i][:, :, :, 7:].any()
    whole = jax.tree.map(lambda *xs: jnp.concatenate(xs, 1), *(slots for _, slots in pieces))
    for found, expected in zip(jax.tree.leaves(cache.slots), jax.tree.leaves(whole)):
        np.testing.assert_array_equal(found[:, :7], expected)
        assert not found[:, 7:].any()


def test_commit_leaves_the_old_cache_as_it_was(blank):
    first = commit(blank, *made(2, 1))
    before = jax.tree.map(np.array, first)
    commit(first, *made(3, 2))
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(np.array, first))


def test_commit_keeps_the_types_of_the_cache():
    blank = empty(jax.eval_shape(lambda: made(1, 0, jnp.bfloat16)[0]), CAPACITY)
    cache = commit(blank, *made(2, 1, jnp.float32))
    assert [x.dtype for x in jax.tree.leaves(cache)] == [x.dtype for x in jax.tree.leaves(blank)]


def test_rows_grow_by_what_they_hold_and_padding_is_overwritten_or_dropped(blank):
    (kv, slots), used = made(6, 1), np.array([6, 2, 0])
    padded = slots.replace(doc=jnp.where(jnp.arange(6) < used[:, None], slots.doc, 0))
    cache = commit(blank, kv, padded)
    np.testing.assert_array_equal(cache.length, used)
    again, more = made(6, 2)
    cache = commit(cache, again, more.replace(doc=jnp.where(jnp.arange(6) < 4, more.doc, 0)))
    np.testing.assert_array_equal(cache.length, used + 4)
    for row, n in enumerate(used):
        np.testing.assert_array_equal(cache.slots.doc[row, : n + 4], [*slots.doc[row, :n], *more.doc[row, :4]])
        np.testing.assert_array_equal(cache.kv[0][:, row, :, n : n + 4], again[0][:, row, :, :4])
    assert not cut(cache, jnp.zeros(BATCH, jnp.int32)).slots.doc.any()


def test_empty_slots_between_occupied_ones_take_no_room(blank):
    """Lanes lie side by side, and the first is seldom full."""
    (kv, slots), kept = made(6, 1), np.array([True, False, False, True, True, False])
    cache = commit(blank, kv, slots.replace(doc=jnp.where(kept, slots.doc, 0)))
    assert (cache.length == 3).all() and not cache.slots.doc[:, 3:].any()
    np.testing.assert_array_equal(cache.slots.pos[:, :3], slots.pos[:, kept])
    np.testing.assert_array_equal(cache.kv[0][:, :, :, :3], kv[0][:, :, :, kept])


def test_some_rows_are_taken_and_committed_by_themselves(blank):
    full = commit(blank, *made(3, 1))
    rows = jnp.array([2, 0, BATCH])  # the last stands for no row
    kv, slots = made(2, 2)
    cache = commit(full, kv, slots, rows=rows)
    np.testing.assert_array_equal(cache.length, [5, 3, 5])
    np.testing.assert_array_equal(cache.kv[1][:, 2, :, 3:5], kv[1][:, 0])
    np.testing.assert_array_equal(take(cache, rows[:2]).kv[1][:, 1, :, 3:5], kv[1][:, 1])
    np.testing.assert_array_equal(cache.kv[1][:, 1], full.kv[1][:, 1])


def test_int8_is_within_half_a_step_of_every_slot_and_head(blank):
    kv, slots = made(4, 1)
    cache = commit(empty(kv, CAPACITY, storage=Int8()), kv, slots)
    for found, exact in zip(cache.storage.decode(cache.kv), kv):
        step = np.abs(exact).max(-1, keepdims=True) / 127
        assert (np.abs(found[:, :, :, :4] - exact) <= 0.501 * step).all()
    assert all(codes.dtype == jnp.int8 for codes, _ in cache.kv)
