"""Diffusion and learned variance: targets, weightings and the bound against their formulas, without a model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from unified_jax.core.noise import Edm, VariancePreserving, betas
from unified_jax.core.noise.times import level
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.objectives.diffusion import Diffusion
from unified_jax.objectives.learned_variance import LearnedVariance, variational_bound
from unified_jax.objectives.weighting import P2, Even, MinSnr

B, N, P = 3, 8, 4
UNIT = jnp.tile(jnp.array([0, 0, 0, 1, 1, 2, 2, 0], jnp.int32), (B, 1))
WEIGHT = jnp.tile(jnp.array([1.0, 1, 1, 0, 0, 1, 1, 0]), (B, 1))  # unit 1 is context
TABLE = betas.linear(20, first=0.01, last=0.4)
PATH = VariancePreserving("noise", TABLE)
TIME = lambda rng, shape: level(rng, shape, levels=20)


@pytest.fixture(scope="module")
def seq() -> Interleaved:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(B, N, P)), jnp.float32)
    return Interleaved(
        {}, {"image": Payload(x, slot=UNIT, read=UNIT, unit=UNIT, time=jnp.zeros((B, N)), weight=WEIGHT)}
    )


@pytest.mark.parametrize("prediction", ["noise", "clean", "v"])
def test_the_target_is_what_the_path_mixed(prediction, seq):
    objective = Diffusion("image", path=VariancePreserving(prediction, TABLE), time=TIME)
    shown, target = objective.corrupt(jax.random.key(0), seq)
    payload, clean = shown.streams["image"], seq.streams["image"].values
    signal = np.cumprod(1 - np.array(TABLE))[np.round(np.asarray(payload.time) * 20).astype(int) - 1][..., None]
    alpha, sigma, learned = np.sqrt(signal), np.sqrt(1 - signal), np.asarray(WEIGHT) > 0
    noise = (payload.values - alpha * clean) / sigma
    expected = {"noise": noise, "clean": clean, "v": alpha * noise - sigma * clean}[prediction]
    np.testing.assert_allclose(target[learned], expected[learned], atol=2e-4)
    np.testing.assert_array_equal(payload.values[~learned], clean[~learned])
    assert float(objective.loss(target, target, payload).total) == 0


@pytest.mark.parametrize("prediction", ["noise", "clean", "v"])
@pytest.mark.parametrize("weighting", [MinSnr(), P2(), P2(2.0, 0.5)], ids=repr)
def test_weightings_are_those_of_the_papers_whatever_is_predicted(weighting, prediction):
    t = (jnp.arange(20) + 1) / 20
    snr = 1 / np.cumprod(1 - np.array(TABLE))
    snr = 1 / (snr - 1)
    # The papers' tables: what multiplies a squared error of the noise, of the data and of v.
    if isinstance(weighting, MinSnr):
        least = np.minimum(snr, weighting.most)
        expected = {"noise": least / snr, "clean": least, "v": least / (snr + 1)}[prediction]
    else:
        noise = (weighting.k + snr) ** -weighting.gamma
        expected = {"noise": noise, "clean": snr * noise, "v": snr / (snr + 1) * noise}[prediction]
    np.testing.assert_allclose(weighting(VariancePreserving(prediction, TABLE), t), expected, rtol=1e-4)


@pytest.mark.parametrize("weighting", [Even(), MinSnr(), P2()], ids=repr)
def test_context_and_pure_noise_keep_loss_and_gradient_finite(weighting, seq):
    path = VariancePreserving("v", betas.zero_terminal(TABLE))
    objective = Diffusion("image", path=path, time=lambda rng, shape: jnp.ones(shape), weighting=weighting)
    shown, target = objective.corrupt(jax.random.key(0), seq)
    loss = lambda prediction: objective.loss(prediction, target, shown.streams["image"]).total
    value, gradient = jax.value_and_grad(loss)(target + 1.0)
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all() and (gradient[np.asarray(WEIGHT) == 0] == 0).all()


def test_edm_trains_the_preconditioned_network_on_unit_variance():
    """Data of variance data_std^2: what is shown and what is asked for have variance 1 at every time."""
    path, n = Edm(data_std=0.5), 4000
    x = 0.5 * jax.random.normal(jax.random.key(0), (2, n, 1))
    noise = jax.random.normal(jax.random.key(1), x.shape)
    t = jnp.broadcast_to(jnp.array([[0.45], [0.7]]), (2, n))
    for values in (path.corrupt(x, noise, t), path.target(x, noise, t)):
        np.testing.assert_allclose(values.std((1, 2)), 1.0, atol=0.05)


def test_the_bound_is_the_divergence_of_the_two_laws():
    """Posterior and model are Gaussians: their divergence integrated numerically, from the definitions of DDPM."""
    i, x, x_t, guess, spread = 7, 0.4, -0.3, 0.6, 0.2  # level, data, noised, estimated noise, where between the limits
    beta, signal = np.array(TABLE), np.cumprod(1 - np.array(TABLE))
    posterior = beta[i] * (1 - signal[i - 1]) / (1 - signal[i])
    mean = lambda data: (
        np.sqrt(signal[i - 1]) * beta[i] / (1 - signal[i]) * data
        + np.sqrt(1 - beta[i]) * (1 - signal[i - 1]) / (1 - signal[i]) * x_t
    )
    estimate = (x_t - np.sqrt(1 - signal[i]) * guess) / np.sqrt(signal[i])
    between = (spread + 1) / 2
    ours = np.exp(between * np.log(beta[i]) + (1 - between) * np.log(posterior))
    q = scipy.stats.norm(mean(x), np.sqrt(posterior))
    p = scipy.stats.norm(mean(estimate), np.sqrt(ours))
    bits = scipy.integrate.quad(lambda y: q.pdf(y) * (q.logpdf(y) - p.logpdf(y)), -6, 6)[0] / np.log(2)
    cell = lambda value: jnp.full((1, 1), value)
    found = variational_bound(
        PATH, cell(guess), cell(spread), x_t=cell(x_t), clean=cell(x), t=jnp.full(1, (i + 1) / 20)
    )
    assert float(found[0, 0]) == pytest.approx(bits, rel=1e-3)


def test_at_the_first_level_the_bound_is_a_probability_of_8_bit_values():
    values = jnp.linspace(-1, 1, 256)[:, None]
    constant = jnp.full_like(values, 0.1)
    bits = variational_bound(PATH, constant, constant, x_t=constant, clean=values, t=jnp.full(256, 1 / 20))
    assert float((2.0**-bits).sum()) == pytest.approx(1.0, abs=1e-3)


def test_the_bound_trains_the_variance_alone_and_the_rest_is_the_simple_loss(seq):
    objective = LearnedVariance("image", path=PATH, time=TIME)
    shown, target = objective.corrupt(jax.random.key(0), seq)
    payload = shown.streams["image"]
    prediction = jnp.concatenate([target.output + 0.3, jnp.full((B, N, P), 0.2)], -1)
    loss = lambda prediction, objective=objective: objective.loss(prediction, target, payload).total
    gradient = jax.grad(loss)(prediction)
    simple = Diffusion("image", path=PATH, time=TIME)
    alone = jax.grad(lambda output: simple.loss(output, target.output, payload).total)(prediction[..., :P])
    np.testing.assert_allclose(gradient[..., :P], alone, atol=1e-6)
    learned = np.asarray(WEIGHT) > 0
    assert (gradient[..., P:][learned] != 0).any() and (gradient[..., P:][~learned] == 0).all()
    assert jnp.isfinite(gradient).all()
