"""Flow: noising by unit, and a velocity error that is zero for the exact answer and known for simple ones."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from unified_jax.core.noise import Rectified, logit_normal
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.objectives.flow import Flow

B, N, P = 3, 8, 4
UNIT = jnp.tile(jnp.array([0, 0, 0, 1, 1, 2, 2, 0], jnp.int32), (B, 1))  # the last entry is padding
WEIGHT = jnp.tile(jnp.array([1.0, 1, 1, 0, 0, 1, 1, 0]), (B, 1))  # unit 1 is context
PATHS = {"velocity": Rectified("velocity"), "clean": Rectified("clean", floor=1e-6)}
paths = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


@pytest.fixture(scope="module")
def seq() -> Interleaved:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(B, N, P)), jnp.float32)
    payload = Payload(values=x, slot=UNIT, read=UNIT, unit=UNIT, time=jnp.zeros((B, N)), weight=WEIGHT)
    return Interleaved({}, {"image": payload, "text": payload})


def corrupted(flow, seq, seed=0):
    shown, target = jax.jit(flow.corrupt)(jax.random.key(seed), seq)
    return shown.streams["image"], target


def noise(clean, payload):
    """What the path must have mixed in, by its own equation x_t = (1 - t) x + t e."""
    time = payload.time[..., None]
    return (payload.values - (1 - time) * clean) / jnp.where(time > 0, time, 1.0)


@paths
def test_the_exact_answer_costs_nothing(path, seq):
    flow = Flow("image", path=path)
    clean, (payload, target) = seq.streams["image"].values, corrupted(flow, seq)
    sums = flow.loss(path.target(clean, noise(clean, payload), payload.time), target, payload)
    assert float(sums.total) == pytest.approx(0, abs=1e-4) and sums.count == WEIGHT.sum()


@paths
def test_any_other_answer_costs_more(path, seq):
    flow = Flow("image", path=path)
    clean, (payload, target) = seq.streams["image"].values, corrupted(flow, seq)
    wrong = path.target(clean, noise(clean, payload), payload.time) + 0.1
    assert flow.loss(wrong, target, payload).total > 0.05


def test_learned_entries_are_noised_and_context_stays_clean_at_time_0(seq):
    clean, (payload, _) = seq.streams["image"].values, corrupted(Flow("image"), seq)
    learned = WEIGHT > 0
    assert (payload.values[~learned] == clean[~learned]).all() and (payload.time[~learned] == 0).all()
    assert (payload.time[learned] > 0).all() and (payload.values[learned] != clean[learned]).all()


def test_noised_values_lie_on_the_path_of_their_time(seq):
    clean, (payload, velocity) = seq.streams["image"].values, corrupted(Flow("image"), seq)
    np.testing.assert_allclose(payload.values, clean + payload.time[..., None] * velocity, atol=1e-5)


def test_the_noise_is_standard_normal():
    zeros, ones = jnp.zeros((1, 5000), jnp.int32), jnp.ones((1, 5000))
    payload = Payload(jnp.zeros((1, 5000, 1)), slot=zeros, read=zeros, unit=zeros, time=0 * ones, weight=ones)
    flow = Flow("image", time=lambda rng, shape: jnp.ones(shape))
    assert (
        scipy.stats.kstest(corrupted(flow, Interleaved({}, {"image": payload}))[0].values.ravel(), "norm").pvalue > 1e-3
    )


def test_a_unit_has_one_time_and_units_and_rows_have_their_own(seq):
    time = np.asarray(corrupted(Flow("image"), seq)[0].time)
    for row in time:
        assert len(set(row[:3])) == 1 and row[5] == row[6]
    assert len({time[b, n] for b in range(B) for n in (0, 5)}) == 2 * B


def test_only_the_named_stream_changes(seq):
    shown, _ = Flow("image").corrupt(jax.random.key(0), seq)
    assert shown.streams["text"] is seq.streams["text"]


def test_the_same_key_noises_alike_and_another_differently(seq):
    first, again, other = (corrupted(Flow("image"), seq, seed)[0].values for seed in (0, 0, 1))
    assert (first == again).all() and (first != other)[WEIGHT > 0].all()


@paths
def test_entries_of_weight_0_have_no_influence(path, seq):
    flow = Flow("image", path=path)
    payload, target = corrupted(flow, seq)
    prediction = jnp.ones((B, N, P))
    elsewhere = jnp.where((WEIGHT > 0)[..., None], prediction, 9e4)
    assert flow.loss(elsewhere, target, payload).total == flow.loss(prediction, target, payload).total


@pytest.mark.parametrize("prediction", ["velocity", "clean"])
def test_the_expected_loss_of_a_constant_answer_is_the_closed_form(prediction):
    """Data x ~ N(0, s^2), answer 0, t fixed: E|e - x|^2 = 1 + s^2 for a velocity; as clean data the velocity is
    x_t / t = e + (1 - t) x / t, so the error is x / t and its square s^2 / t^2.
    """
    s, t, n = 0.5, 0.4, 20_000
    flow = Flow("image", path=Rectified(prediction), time=lambda rng, shape: jnp.full(shape, t))
    x = s * jax.random.normal(jax.random.key(7), (1, n, 1))
    zeros, ones = jnp.zeros((1, n), jnp.int32), jnp.ones((1, n))
    seq = Interleaved({}, {"image": Payload(values=x, slot=zeros, read=zeros, unit=zeros, time=0 * ones, weight=ones)})
    payload, target = corrupted(flow, seq)
    sums = flow.loss(jnp.zeros_like(x), target, payload)
    expected = 1 + s**2 if prediction == "velocity" else s**2 / t**2
    # The square of a normal has variance 2: five standard errors.
    assert float(sums.total / sums.count) == pytest.approx(expected, rel=5 * np.sqrt(2 / n))


def test_times_come_from_the_sampler_of_the_objective(seq):
    high = dataclasses.replace(Flow("image"), time=partial(logit_normal, mean=6.0, std=0.1))
    time = corrupted(high, seq)[0].time
    assert (time[WEIGHT > 0] > 0.99).all()
