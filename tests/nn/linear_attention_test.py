"""Linear attention against the sum over all pairs of places."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.nn.linear_attention import GatedConv, MultiscaleAttention, attend_linearly


def test_it_is_the_weighted_mean_over_all_pairs(getkey):
    q, k, v = (np.asarray(jax.random.normal(getkey(), (2, 7, 3, 4)), np.float64) for _ in range(3))
    relu = lambda x: np.maximum(x, 0)
    weights = np.einsum("bthc,bshc->bhts", relu(q), relu(k))
    want = np.einsum("bhts,bshc->bthc", weights / np.maximum(weights.sum(-1, keepdims=True), 1e-30), v)
    got = attend_linearly(*(jnp.asarray(x, jnp.float32) for x in (q, k, v)))
    np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)


def test_a_query_that_no_key_answers_gives_zeros():
    negative, ones = -jnp.ones((1, 2, 1, 4)), jnp.ones((1, 2, 1, 4))
    np.testing.assert_array_equal(attend_linearly(negative, ones, ones), jnp.zeros((1, 2, 1, 4)))


@pytest.mark.parametrize("piece", [MultiscaleAttention(4, (3,)), GatedConv()], ids=lambda piece: type(piece).__name__)
def test_pieces_keep_the_shape_and_every_parameter_has_a_gradient(piece, getkey):
    x = jax.random.normal(getkey(), (1, 4, 5, 8))
    params = piece.init(getkey(), x)["params"]
    made, grads = jax.jit(jax.value_and_grad(lambda params: jnp.square(piece.apply({"params": params}, x)).sum()))(
        params
    )
    assert jax.eval_shape(piece.apply, {"params": params}, x).shape == x.shape and np.isfinite(made)
    assert all(np.abs(grad).max() > 0 for grad in jax.tree.leaves(grads))
