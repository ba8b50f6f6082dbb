"""Tiles: a visible pair is never missed, and hardly a tile without one is visited."""

import dense
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packed_rows import packed, random_documents, sixty_four_documents

from unified_jax.core.mask import Ids, allowed, stacked, visible
from unified_jax.core.sequence import Slots
from unified_jax.nn.kernels.tiles import visits

compiled_visits = jax.jit(visits, static_argnames=("q_tile", "k_tile", "strip"))
compiled_rule = jax.jit(lambda query, key, **window: allowed(columns(query), rows(key), **window))
KERNEL_TILE = 512  # the default of flash_tpu


def columns(slots: Slots) -> Ids:
    return Ids(*jnp.moveaxis(stacked(slots), 1, 0)[..., None])


def rows(slots: Slots) -> Ids:
    return Ids(*jnp.moveaxis(stacked(slots), 1, 0)[:, :, None])


@st.composite
def slots(draw, length: int) -> Slots:
    """Any integers at all, in any order: nothing need be a well-formed document."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    doc, block, index, private = (rng.integers(0, top, (1, length), dtype=np.int32) for top in (4, 5, 30, 2))
    return Slots(doc, block, private.astype(bool), index[..., None])


@given(slots(12), slots(16), st.none() | st.integers(1, 20))
def test_no_visible_pair_is_missed(query, key, window):
    true = dense.visible(query, key, window=window).reshape(1, 3, 4, 2, 8).any((2, 4))
    for strip in (2, 32):
        found = compiled_visits(stacked(query), stacked(key), q_tile=4, k_tile=8, window=window, strip=strip)
        assert not (true & ~np.asarray(found)).any()


@pytest.mark.parametrize("window", [1, 4, 5, 6, 9, 10])
def test_text_in_a_window_visits_exactly_the_non_empty_tiles(window):
    """The border of the window is that of the rule: one more or one less names other tiles."""
    text = packed(np.random.default_rng(0), [[("text", 32)]], length=32)
    true = dense.visible(text, text, window=window).reshape(1, 8, 4, 8, 4).any((2, 4))
    assert np.array_equal(compiled_visits(stacked(text), stacked(text), q_tile=4, k_tile=4, window=window), true)


@given(slots(12), slots(16), st.integers(1, 20))
def test_the_rule_of_a_tile_is_the_rule_of_the_mask(query, key, window):
    assert np.array_equal(compiled_rule(query, key), visible(query, key))
    assert np.array_equal(compiled_rule(query, key, window=window), dense.visible(query, key, window=window))


def visited_by_non_empty(row: Slots, *, tile: int, window: int | None) -> float:
    """Tiles visited for each that holds a visible pair, the latter counted slot by slot."""
    pieces = row.doc.shape[1] // tile
    true = np.zeros((pieces, pieces), bool)
    for i in range(pieces):
        part = Slots(*(x[:, i * tile : (i + 1) * tile] for x in (row.doc, row.block, row.private, row.pos)))
        near = np.flatnonzero((row.doc[0] >= part.doc.min()) & (row.doc[0] <= part.doc.max()))  # no other can be seen
        keys = Slots(*(x[:, near] for x in (row.doc, row.block, row.private, row.pos)))
        true[i, near[dense.visible(part, keys, window=window).any((0, 1))] // tile] = True
    found = np.asarray(compiled_visits(stacked(row), stacked(row), q_tile=tile, k_tile=tile, window=window))[0]
    assert not (true & ~found).any()
    return found.sum() / true.sum()


@pytest.mark.parametrize("window", [None, 256])
def test_32768_slots_of_64_documents_visit_at_most_a_tenth_too_many(window):
    rows = [sixty_four_documents(np.random.default_rng(seed)) for seed in range(2)]
    assert all(row.doc.max() == 64 and row.doc.min() == 1 and row.private.any() for row in rows)
    worst = max(visited_by_non_empty(row, tile=KERNEL_TILE, window=window) for row in rows)
    print(f"window {window}: {worst:.3f} tiles visited for each non-empty one")
    assert worst <= 1.1


@pytest.mark.parametrize("length", [512, 1024, 4096])
def test_small_rows_visit_at_most_a_tenth_too_many(length):
    rng = np.random.default_rng(0)
    documents = lambda: random_documents(rng, count=40, text=60, image=64)
    rows = [packed(rng, documents(), length=length) for _ in range(3)]
    worst = max(visited_by_non_empty(row, tile=128, window=None) for row in rows)
    print(f"{length} slots: {worst:.3f} tiles visited for each non-empty one")
    assert worst <= 1.1


def test_a_row_of_two_lanes_visits_at_most_a_tenth_too_many():
    """All images after all text, as lanes joined side by side: text around an image lies together, far from it."""
    row = sixty_four_documents(np.random.default_rng(0))
    pair = np.stack([row.doc[0], row.block[0]])
    with_next = np.all(pair[:, 1:] == pair[:, :-1], 0)
    image = np.append(with_next, False) | np.append(False, with_next)
    order = np.argsort(image, kind="stable")
    row = Slots(*(x[:, order] for x in (row.doc, row.block, row.private, row.pos)))
    assert visited_by_non_empty(row, tile=KERNEL_TILE, window=None) <= 1.1
