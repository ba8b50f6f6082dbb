"""Blocks as channels, against torch's pixel shuffles and loops over places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from unified_jax.nn.shuffle import average_channels, from_channels, repeat_channels, to_channels


def values(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def test_blocks_of_a_picture_are_channels_in_torchs_order():
    x = values(2, 4, 6, 3)
    want = torch.nn.functional.pixel_unshuffle(torch.tensor(np.asarray(x)).movedim(-1, 1), 2).movedim(1, -1)
    np.testing.assert_array_equal(to_channels(x, (2, 2)), want)
    np.testing.assert_array_equal(from_channels(to_channels(x, (2, 2)), (2, 2)), x)


def test_blocks_of_a_video_are_channels_with_frames_before_rows_and_columns():
    x, block = values(1, 4, 6, 4, 2), (2, 3, 2)
    got = to_channels(x, block)
    for f, h, w, c, (t, r, s) in [(1, 0, 1, 1, (0, 2, 1)), (0, 1, 0, 0, (1, 1, 0)), (1, 1, 1, 1, (1, 2, 1))]:
        assert got[0, f, h, w, ((c * 2 + t) * 3 + r) * 2 + s] == x[0, 2 * f + t, 3 * h + r, 2 * w + s, c]
    np.testing.assert_array_equal(from_channels(got, block), x)


def test_neighbouring_channels_are_averaged_and_repeated():
    x = jnp.arange(6.0)[None]
    np.testing.assert_array_equal(average_channels(x, 3), [[0.5, 2.5, 4.5]])
    np.testing.assert_array_equal(repeat_channels(x[:, :2], 4), [[0, 0, 1, 1]])


def test_channels_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="6 channels do not divide into 4"):
        average_channels(values(1, 6), 4)
    with pytest.raises(ValueError, match="7 channels are no multiple of 3"):
        repeat_channels(values(1, 3), 7)
