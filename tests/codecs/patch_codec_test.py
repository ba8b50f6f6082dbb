"""Patches: a rearrangement, exact in both directions."""

import numpy as np
import pytest

from unified_jax.codecs.base import to_float, to_uint8
from unified_jax.codecs.patch import Patches


@pytest.mark.parametrize("size,height,width", [(1, 3, 5), (4, 8, 8), (8, 16, 40), (5, 15, 10)])
def test_round_trip_is_exact(size, height, width):
    codec = Patches(size)
    pixels = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    values = codec.encode({}, to_float(pixels))
    assert values.shape == (2, *codec.grid(height, width), *codec.shape) and values.dtype == codec.dtype
    np.testing.assert_array_equal(to_uint8(codec.decode({}, values)), pixels)


def test_entry_is_the_square_it_names_channel_last():
    pixels = np.random.default_rng(0).normal(size=(1, 8, 12, 3)).astype(np.float32)
    values = Patches(4).encode({}, pixels)
    np.testing.assert_array_equal(values[0, 1, 2].reshape(4, 4, 3), pixels[0, 4:8, 8:12])


@pytest.mark.parametrize("height,width", [(30, 32), (32, 30), (4, 32), (0, 8)])
def test_sizes_that_do_not_fit_are_refused_by_name(height, width):
    with pytest.raises(ValueError, match=f"{width}x{height}.*multiples of 8"):
        Patches(8).grid(height, width)


def test_every_byte_survives_the_way_to_float_and_back():
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(to_float(every)), every)
    np.testing.assert_array_equal(to_uint8(np.float32([-3, 3])), [0, 255])
