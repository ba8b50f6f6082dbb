"""The cache: commit appends, in order, and touches nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.cache import Cache, commit, empty
from unified_jax.core.mask import visible
from unified_jax.core.sequence import Slots

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
