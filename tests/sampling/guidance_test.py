"""Guidance: null + scale * (conditioned - null), conditioned rows first."""

import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.sampling.guidance import guide

CONDITIONED = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
NULL = np.random.default_rng(1).normal(size=(3, 4, 2)).astype(np.float32)
BOTH = jnp.concatenate([CONDITIONED, NULL])


@pytest.mark.parametrize("scale", [0.0, 0.5, 3.0, 7.5])
def test_guidance_is_the_formula(scale):
    expected = (1 - scale) * NULL + scale * CONDITIONED
    np.testing.assert_allclose(guide(BOTH, scale, guided=True), expected, atol=1e-5)


def test_scale_1_is_the_conditioned_prediction_and_scale_0_the_null_one():
    np.testing.assert_allclose(guide(BOTH, 1.0, guided=True), CONDITIONED, atol=1e-6)
    np.testing.assert_array_equal(guide(BOTH, 0.0, guided=True), NULL)


def test_without_null_rows_nothing_changes():
    assert guide(BOTH, 5.0, guided=False) is BOTH


def test_rows_that_agree_stay_whatever_the_scale():
    agreed = jnp.concatenate([CONDITIONED, CONDITIONED])
    np.testing.assert_allclose(guide(agreed, 9.0, guided=True), CONDITIONED, atol=1e-5)
