"""Patches of pictures and videos, and the places that are added to them."""

import numpy as np
import pytest

from unified_jax.nn.patches import from_patches, to_patches
from unified_jax.nn.places import SincosPlaces


def test_a_patch_of_a_video_is_a_box_of_it():
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 8, 3))
    patches = to_patches(x, (2, 3, 4))
    assert patches.shape == (2, 2 * 2 * 2, 2, 3, 4, 3)
    np.testing.assert_array_equal(patches[1, 5], x[1, 2:4, 0:3, 4:8])  # frames 1, rows 0, columns 1
    np.testing.assert_array_equal(from_patches(patches, (2, 2, 2)), x)


def test_patches_of_a_picture_are_in_reading_order():
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 3))
    np.testing.assert_array_equal(to_patches(x, (2, 2))[0, 4], x[0, 2:4, 2:4])
    np.testing.assert_array_equal(from_patches(to_patches(x, (2, 2)), (2, 3)), x)


def test_a_side_that_is_not_whole_patches_is_named():
    with pytest.raises(
        ValueError, match="latents of 4 x 5: every side must be a positive multiple of the patch, 2 x 2"
    ):
        to_patches(np.zeros((1, 4, 5, 3)), (2, 2))


def test_places_of_a_larger_grid_lie_between_those_of_the_trained_one():
    small, large = SincosPlaces(4)((4, 4), 16), SincosPlaces(4)((8, 4), 16)
    np.testing.assert_allclose(large[::2], small, atol=1e-6)
    np.testing.assert_allclose(SincosPlaces(4, 2.0)((4, 4), 16)[2, 2], small[1, 1], atol=1e-6)
