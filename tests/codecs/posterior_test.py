"""The posterior of latents: its divergence by its closed form and by its definition, its draws, its bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.codecs.posterior import Posterior, Scale


def random_posterior(getkey) -> Posterior:
    return Posterior(0.7 * jax.random.normal(getkey(), (2, 3, 5, 4)), jax.random.normal(getkey(), (2, 3, 5, 4)) - 1)


def log_normal(x, mean, logvar):
    return -0.5 * (np.log(2 * np.pi) + logvar + (x - mean) ** 2 / np.exp(logvar))


def test_kl_is_the_sum_over_channels_of_the_closed_form(getkey):
    posterior = random_posterior(getkey)
    mean, std = np.float64(posterior.mean), np.exp(np.float64(posterior.logvar) / 2)
    want = (-np.log(std) + (std**2 + mean**2) / 2 - 0.5).sum(-1)
    np.testing.assert_allclose(posterior.kl(), want, rtol=1e-5)
    assert float(Posterior(jnp.zeros(4), jnp.zeros(4)).kl()) == 0


def test_kl_is_the_mean_log_ratio_over_draws(getkey):
    posterior = Posterior(jnp.array([0.5, -1.0]), jnp.array([-1.0, 0.5]))
    draws = np.asarray(jax.vmap(posterior.sample)(jax.random.split(getkey(), 40_000)))
    ratio = log_normal(draws, np.asarray(posterior.mean), np.asarray(posterior.logvar)) - log_normal(draws, 0, 0)
    np.testing.assert_allclose(ratio.sum(-1).mean(), posterior.kl(), atol=0.03)


def test_draws_have_the_mean_and_the_variance(getkey):
    posterior = Posterior(jnp.array([0.5, -1.0]), jnp.array([-1.0, 0.5]))
    draws = np.asarray(jax.vmap(posterior.sample)(jax.random.split(getkey(), 40_000)))
    np.testing.assert_allclose(draws.mean(0), posterior.mode(), atol=0.03)
    np.testing.assert_allclose(draws.var(0), np.exp(posterior.logvar), rtol=0.03)


def test_draws_carry_gradients_to_both_moments(getkey):
    posterior, key = random_posterior(getkey), getkey()
    grads = jax.grad(lambda p: jnp.square(p.sample(key)).sum())(posterior)
    assert all(np.abs(grad).min() > 0 for grad in (grads.mean, grads.logvar))


def test_log_variances_of_an_encoder_are_bounded_as_the_published_ones():
    posterior = Posterior.of(jnp.array([[3.0, 4.0, -99.0, 99.0]]))
    np.testing.assert_array_equal(posterior.mean, [[3, 4]])
    np.testing.assert_array_equal(posterior.logvar, [[-30, 20]])


@pytest.mark.parametrize("scale", [Scale(0.1159, 1 / 0.3611), Scale((0.5, -1.0), (2.0, 0.25))])
def test_a_scale_standardises_and_restores(scale, getkey):
    latents = np.asarray(jax.random.normal(getkey(), (2, 3, 2)) * np.asarray(scale.std) + np.asarray(scale.mean))
    standard = scale.standardise(latents)
    np.testing.assert_allclose(standard, (latents - np.array(scale.mean)) / np.array(scale.std), rtol=1e-5)
    np.testing.assert_allclose(scale.restore(standard), latents, atol=1e-6)
