"""Guidance: null + scale * (conditioned - null), conditioned rows first."""

import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.sampling.guidance import guide

CONDITIONED = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
NULL = np.random.default_rng(1).normal(size=(3, 4, 2)).astype(np.float32)
BOTH = jnp.concatenate([CONDITIONED, NULL])
TWINS = jnp.array([3, 4, 5, 3, 4, 5])  # the row without the condition


@pytest.mark.parametrize("scale", [0.0, 0.5, 3.0, 7.5])
def test_guidance_is_the_formula(scale):
    expected = (1 - scale) * NULL + scale * CONDITIONED
    np.testing.assert_allclose(guide(BOTH, scale, null=TWINS)[:3], expected, atol=1e-5)


def test_scale_1_is_the_conditioned_prediction_and_scale_0_the_null_one():
    np.testing.assert_allclose(guide(BOTH, 1.0, null=TWINS)[:3], CONDITIONED, atol=1e-6)
    np.testing.assert_array_equal(guide(BOTH, 0.0, null=TWINS)[:3], NULL)


def test_a_row_that_names_itself_is_not_changed_whatever_its_neighbours():
    scale = jnp.array([5.0, 2.0, 7.0, 1.0, 0.0, 3.0])
    alone = guide(BOTH, scale, null=jnp.array([0, 4, 2, 3, 4, 5]))
    np.testing.assert_array_equal(alone[jnp.array([0, 2, 3, 4, 5])], BOTH[jnp.array([0, 2, 3, 4, 5])])
    np.testing.assert_allclose(alone[1], NULL[1] + 2 * (CONDITIONED[1] - NULL[1]), atol=1e-5)


def test_rows_that_agree_stay_whatever_the_scale():
    agreed = jnp.concatenate([CONDITIONED, CONDITIONED])
    np.testing.assert_allclose(guide(agreed, 9.0, null=TWINS)[:3], CONDITIONED, atol=1e-5)
