"""Weights of resampling against torch.nn.functional.interpolate, enlarged, reduced and stretched."""

import jax
import numpy as np
import pytest
import torch

from unified_jax.nn import resample

KINDS = {
    resample.cubic: dict(mode="bicubic"),
    resample.linear: dict(mode="bilinear"),
    resample.smooth_cubic: dict(mode="bicubic", antialias=True),
    resample.smooth_linear: dict(mode="bilinear", antialias=True),
}
SIZES = [(7, 5), (13, 22), (3, 2), (1, 1), (20, 3)]


@pytest.fixture(scope="module")
def table():
    return np.random.default_rng(0).normal(size=(7, 5, 6)).astype(np.float32)


def interpolated(table: np.ndarray, size: tuple[int, int], **options) -> np.ndarray:
    channels_first = torch.tensor(table).permute(2, 0, 1)[None]
    out = torch.nn.functional.interpolate(channels_first, size=size, align_corners=False, **options)
    return out[0].permute(1, 2, 0).numpy()


def slots(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    place = np.stack(np.indices(size), -1).reshape(1, -1, 2).astype(np.int32)
    return place, np.broadcast_to(np.asarray(size, np.int32), place.shape)


@pytest.mark.parametrize("weights", KINDS, ids=lambda weights: weights.__name__)
@pytest.mark.parametrize("size", SIZES)
def test_a_table_is_resized_as_by_the_reference(table, weights, size):
    got = resample.sample(table, *slots(size), weights=weights)
    np.testing.assert_allclose(got.reshape(*size, 6), interpolated(table, size, **KINDS[weights]), atol=4e-6)


@pytest.mark.parametrize("weights", KINDS, ids=lambda weights: weights.__name__)
def test_at_its_own_size_a_table_is_itself(table, weights):
    got = resample.sample(table, *slots((7, 5)), weights=weights)
    np.testing.assert_array_equal(got.reshape(table.shape), table)


def test_slots_of_different_grids_resample_side_by_side(table):
    place, grid = (np.concatenate(x, 1) for x in zip(slots((3, 2)), slots((13, 22))))
    got = jax.jit(lambda place, grid: resample.sample(table, place, grid, weights=resample.cubic))(place, grid)
    np.testing.assert_allclose(got[0, :6].reshape(3, 2, 6), interpolated(table, (3, 2), mode="bicubic"), atol=4e-6)
    np.testing.assert_allclose(got[0, 6:].reshape(13, 22, 6), interpolated(table, (13, 22), mode="bicubic"), atol=4e-6)
