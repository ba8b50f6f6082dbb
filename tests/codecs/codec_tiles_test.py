"""Tiles: exact where a codec is local, weights that sum to one, memory that does not grow with the sides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unified_jax.codecs.patch import Patches
from unified_jax.codecs.tiles import in_tiles
from unified_jax.nn.conv import Conv


def pictures(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


@settings(max_examples=8)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), tile=st.integers(1, 5), overlap=st.integers(0, 4))
def test_what_is_local_comes_out_the_same_for_every_layout(rows, columns, tile, overlap):
    if overlap >= tile:
        return
    patches, x = Patches(2), pictures(2, 2 * rows, 2 * columns, 3)
    values = patches.encode({}, x)
    down = in_tiles(lambda x: {"values": patches.encode({}, x)}, jnp.asarray(x), tile=2 * tile, overlap=2 * overlap)
    np.testing.assert_allclose(down["values"], values, atol=1e-6)
    up = in_tiles(lambda z: patches.decode({}, z), jnp.asarray(values), tile=tile, overlap=overlap)
    np.testing.assert_allclose(up, x, atol=1e-6)


def test_a_seam_is_blended_from_one_tile_to_the_next():
    place = jnp.arange(10.0)[None, None, :, None]
    where_it_begins = lambda x: jnp.broadcast_to(x[:, :, :1], x.shape)
    got = in_tiles(where_it_begins, place, tile=6, overlap=2)[0, 0, :, 0]
    np.testing.assert_allclose(got, [0, 0, 0, 0, 4 / 3, 8 / 3, 4, 4, 4, 4], rtol=1e-6)


def test_a_network_that_looks_less_far_than_the_tiles_overlap_is_nearly_exact_and_one_without_overlap_is_not(getkey):
    conv, x = Conv(2), jnp.asarray(pictures(1, 32, 24, 3))
    params = conv.init(getkey(), x)
    run = jax.jit(lambda x: conv.apply(params, x))
    error = lambda overlap: float(jnp.abs(in_tiles(run, x, tile=16, overlap=overlap) - run(x)).max())
    assert error(8) < 0.25 * error(0)


def test_videos_are_divided_in_space_alone():
    x = jnp.asarray(pictures(1, 3, 8, 6, 2))
    seen = []
    in_tiles(lambda x: seen.append(x.shape) or x, x, tile=4, overlap=2)
    assert set(seen) == {(1, 3, 4, 4, 2)}


def test_memory_does_not_grow_with_the_sides():
    conv, tile = Conv(256), 16
    params = conv.init(jax.random.key(0), jnp.zeros((1, tile, tile, 3)))
    run = lambda x: conv.apply(params, x).mean(-1, keepdims=True)

    def scratch(side: int) -> int:
        x = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
        program = jax.jit(lambda x: in_tiles(run, x, tile=tile, overlap=4)).lower(x).compile()
        return program.memory_analysis().temp_size_in_bytes

    assert scratch(128) < 1.5 * scratch(32)


@pytest.mark.parametrize("overlap", [4, -1])
def test_an_overlap_that_leaves_no_step_is_refused(overlap):
    with pytest.raises(ValueError, match=f"tiles of 4 places can overlap by 0 to 3, not {overlap}"):
        in_tiles(lambda x: x, jnp.zeros((1, 8, 8, 3)), tile=4, overlap=overlap)
