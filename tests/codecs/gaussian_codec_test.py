"""The continuous codec that is trained here: its draws, its price, and its training as a model of the common loop."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.codecs.gaussian import Gaussian
from unified_jax.codecs.network import NetworkCodec

TINY = dict(patch=2, width=8, multipliers=(1, 2), depth=1, channels=3)


def pictures(n: int, height: int, width: int) -> jax.Array:
    return jax.random.uniform(jax.random.key(9), (n, height, width, 3), minval=-1.0)


@pytest.fixture(scope="module")
def params():
    return jax.jit(Gaussian(**TINY).init)(jax.random.key(0), pictures(1, 8, 8))["params"]


def test_without_a_key_it_decodes_the_most_probable_latents(params):
    module, pixels = Gaussian(**TINY), pictures(2, 8, 12)
    made, drawn = jax.jit(module.apply)({"params": params}, pixels)
    codec = NetworkCodec(module, dtype=np.float32)
    latents = codec.encode(params, pixels)
    assert latents.shape == (2, 2, 3, 3)
    np.testing.assert_allclose(drawn.vectors, latents, atol=1e-6)
    np.testing.assert_allclose(made, codec.decode(params, latents), atol=1e-5)


def test_with_a_key_it_draws_from_its_posterior(params):
    module, pixels = Gaussian(**TINY), pictures(1, 8, 8)
    posterior = module.apply({"params": params}, pixels, method="posterior")
    draw = lambda rng: module.apply({"params": params}, pixels, rngs={"sample": rng})[1].vectors
    drawn = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(1), 4000))
    deviation = jnp.exp(posterior.logvar / 2)
    np.testing.assert_allclose(drawn.mean(0), posterior.mean, atol=5 * float(deviation.max()) / math.sqrt(4000))
    np.testing.assert_allclose(drawn.std(0), deviation, rtol=0.06)


@pytest.mark.parametrize("nats", [0.0, 2.5])
def test_the_price_is_the_distance_of_the_rate_from_the_one_that_is_wanted(params, nats):
    pixels = pictures(2, 8, 8)
    posterior = Gaussian(**TINY).apply({"params": params}, pixels, method="posterior")
    mean, logvar = np.asarray(posterior.mean, np.float64), np.asarray(posterior.logvar, np.float64)
    rate = (0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)).sum(-1).mean((1, 2))
    _, drawn = jax.jit(Gaussian(**TINY, beta=0.1, nats=nats).apply)({"params": params}, pixels)
    expected = np.broadcast_to(0.1 * np.abs(rate - nats)[:, None, None], (2, 2, 2))
    np.testing.assert_allclose(drawn.penalty, expected, rtol=1e-4)
    np.testing.assert_allclose(drawn.rate.mean((1, 2)), rate, rtol=1e-5)


def test_sizes_that_are_not_whole_places_are_refused(params):
    with pytest.raises(ValueError, match="10x8 pixels.*multiples of 4"):
        Gaussian(**TINY).apply({"params": params}, pictures(1, 8, 10))
