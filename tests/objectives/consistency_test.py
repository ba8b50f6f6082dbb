"""Consistency: known estimates cost nothing, and the target is the model's answer a step nearer the data."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.noise import Edm, Rectified, VariancePreserving
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.objectives.consistency import Consistency
from unified_jax.objectives.total import losses

B, N, P = 2, 6, 3
UNIT = jnp.tile(jnp.array([0, 0, 1, 1, 2, 2], jnp.int32), (B, 1))
WEIGHT = jnp.tile(jnp.array([1.0, 1, 0, 0, 1, 1]), (B, 1))
LEARNED = np.asarray(WEIGHT) > 0
MEAN, STD = 0.3, 0.5
TIME = lambda rng, shape: jax.random.uniform(rng, shape, minval=0.1)


@pytest.fixture(scope="module")
def seq() -> Interleaved:
    x = MEAN + STD * jnp.asarray(np.random.default_rng(0).normal(size=(B, N, P)), jnp.float32)
    return Interleaved(
        {}, {"image": Payload(x, slot=UNIT, read=UNIT, unit=UNIT, time=jnp.zeros((B, N)), weight=WEIGHT)}
    )


def output_of(path, estimate):
    """predict: the network whose estimate of the data is ``estimate(x_t, point)``."""

    def predict(seq):
        payload = seq.streams["image"]
        point = path.at(payload.time).over(payload.values)
        clean = estimate(payload.values, point)
        noise = (payload.values - point.alpha * clean) / jnp.where(point.sigma > 0, point.sigma, 1.0)
        a, b = path.output.row(point)
        return {"image": a * clean + b * noise}

    return predict


def flow_end(x_t, point):
    """Where the flow of Gaussian data ends: the exact consistency function."""
    return MEAN + STD * (x_t - point.alpha * MEAN) / jnp.sqrt((point.alpha * STD) ** 2 + point.sigma**2)


def best_guess(x_t, point):
    """E[x | x_t] of Gaussian data: the exact denoiser."""
    variance = (point.alpha * STD) ** 2 + point.sigma**2
    return MEAN + point.alpha * STD**2 / variance * (x_t - point.alpha * MEAN)


@pytest.mark.parametrize("path", [Rectified(), VariancePreserving("v"), VariancePreserving(), Edm()], ids=repr)
def test_distilled_from_an_exact_teacher_the_exact_function_costs_ever_less(path, seq):
    teacher = lambda seq: output_of(path, best_guess)(seq)["image"]
    costs = []
    for steps in (50, 400):
        objective = Consistency("image", path=path, time=TIME, steps=steps, huber=0.0, teacher=teacher)
        sums = losses(output_of(path, flow_end), (objective,), jax.random.key(0), seq)["image"]
        costs.append(float(sums.total / sums.count))
    # A DDIM step of 1 / steps errs by its square.
    assert costs[1] < 0.2 * costs[0] and costs[1] < 1e-3 and sums.count == WEIGHT.sum()


def test_the_target_is_the_answer_nearer_the_data_and_has_no_gradient(seq):
    path = Rectified()
    objective = Consistency("image", path=path, time=TIME, steps=5)
    shown, target = objective.corrupt(jax.random.key(1), seq)
    asked = []

    def predict(seq, scale=1.0):
        asked.append(seq.streams["image"])
        return scale * jnp.sin(seq.streams["image"].values)

    whole = objective.bootstrap(predict, shown, target)
    t, s = shown.streams["image"].time, asked[0].time
    np.testing.assert_allclose(s[LEARNED], np.maximum(t[LEARNED] - 0.2, 0), atol=1e-6)
    x, noise, at = target.clean, target.noise, np.asarray(s)[..., None]
    np.testing.assert_allclose(asked[0].values, (1 - at) * x + at * noise, atol=1e-5)
    estimate = np.where(at > 0, asked[0].values - at * np.sin(asked[0].values), asked[0].values)
    np.testing.assert_allclose(whole.estimate, estimate, atol=1e-5)
    through = jax.grad(lambda scale: objective.bootstrap(lambda s: predict(s, scale), shown, target).estimate.sum())
    assert through(1.0) == 0


def test_the_distance_is_pseudo_huber(seq):
    objective = Consistency("image", path=Rectified("clean"), huber=0.1)
    shown, target = objective.corrupt(jax.random.key(1), seq)
    payload = shown.streams["image"]
    target = dataclasses.replace(target, estimate=target.clean)
    sums = objective.loss(target.clean + 0.2, target, payload)
    assert float(sums.total / sums.count) == pytest.approx(np.sqrt(3 * 0.2**2 + 0.1**2) - 0.1, rel=1e-4)


def test_entries_of_weight_0_have_no_influence(seq):
    path = VariancePreserving("v")
    objective = Consistency("image", path=path)
    predict = lambda value: lambda seq: {"image": jnp.where(LEARNED[..., None], 0.1, value) * jnp.ones((B, N, P))}
    cost = lambda value: losses(predict(value), (objective,), jax.random.key(0), seq)["image"].total
    assert cost(5.0) == cost(-3.0) and jnp.isfinite(cost(5.0))
