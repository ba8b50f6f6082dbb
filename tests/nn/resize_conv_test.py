"""Convolutions that double the sides of a picture, against the picture enlarged and convolved."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.nn.conv import Conv, enlarge
from unified_jax.nn.resize_conv import EnlargingConv


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 1, 1, 4)])
def test_it_is_a_convolution_of_the_enlarged_picture_with_the_same_gradients(shape, getkey):
    x, plain, ours = jax.random.normal(getkey(), shape), Conv(6), EnlargingConv(6)
    params = jax.tree.map(lambda p: jax.random.normal(getkey(), p.shape), plain.init(getkey(), x))
    loss = lambda run: jax.jit(jax.value_and_grad(lambda params, x: jnp.sin(run(params, x)).sum(), argnums=(0, 1)))
    want = loss(lambda params, x: plain.apply(params, enlarge(x, (2, 2))))(params, x)
    got = loss(ours.apply)(params, x)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), got, want)
    np.testing.assert_allclose(ours.apply(params, x), plain.apply(params, enlarge(x, (2, 2))), atol=1e-5)


def test_it_has_four_ninths_of_the_products(getkey):
    x = jnp.zeros((1, 16, 16, 64))
    params = Conv(64).init(getkey(), x)
    flops = lambda run: jax.jit(run).lower(params, x).compile().cost_analysis()["flops"]
    plain = flops(lambda params, x: Conv(64).apply(params, enlarge(x, (2, 2))))
    assert flops(EnlargingConv(64).apply) < 0.5 * plain
