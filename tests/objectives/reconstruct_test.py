"""Reconstruct: the stated loss over the learned entries and no others."""

import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.reconstruction import Reconstruction
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.objectives.reconstruct import Reconstruct


@pytest.fixture
def payload() -> Payload:
    values = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), jnp.float32)
    ids = jnp.zeros((2, 3), jnp.int32)
    return Payload(values, ids, ids, ids, jnp.zeros((2, 3)), weight=jnp.array([[1.0, 1, 0], [0, 2, 1]]))


def test_nothing_is_corrupted_and_the_target_is_the_entries_themselves(payload, getkey):
    seq = Interleaved({}, {"image": payload})
    shown, target = Reconstruct("image").corrupt(getkey(), seq)
    assert shown is seq and target is payload.values


def test_an_exact_reconstruction_costs_its_penalty(payload):
    penalty = jnp.arange(6.0).reshape(2, 3)
    sums = Reconstruct("image").loss(Reconstruction(payload.values, penalty), payload.values, payload)
    assert float(sums.total) == 0 + 1 + 2 * 4 + 5 and float(sums.count) == 5


def test_square_and_absolute_error_are_means_over_an_entry(payload):
    off = Reconstruction(payload.values.at[..., 0].add(2.0), jnp.zeros((2, 3)))
    for absolute in (0.0, 1.0, 0.5):
        sums = Reconstruct("image", absolute=absolute).loss(off, payload.values, payload)
        np.testing.assert_allclose(sums.total / sums.count, (4 + absolute * 2) / 4, rtol=1e-5)


def test_unlearned_entries_do_not_count(payload):
    wrong = payload.values.at[0, 2].add(100.0).at[1, 0].add(100.0)
    penalty = jnp.zeros((2, 3)).at[0, 2].set(7.0)
    sums = Reconstruct("image").loss(Reconstruction(wrong, penalty), payload.values, payload)
    assert float(sums.total) == 0
