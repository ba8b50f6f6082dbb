"""Noise paths and time samplers against their formulas and known distributions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from unified_jax.core.noise import Rectified, logit_normal, shift, uniform

times = st.floats(0, 1, width=32)


@pytest.fixture
def pair(getkey):
    return jax.random.normal(getkey(), (2, 5, 3)), jax.random.normal(getkey(), (2, 5, 3))


def test_the_path_is_data_at_0_and_noise_at_1(pair):
    x, noise = pair
    np.testing.assert_array_equal(Rectified().corrupt(x, noise, jnp.zeros((2, 5))), x)
    np.testing.assert_array_equal(Rectified().corrupt(x, noise, jnp.ones((2, 5))), noise)


def test_the_velocity_is_the_slope_of_the_path(pair):
    x, noise = pair
    slope = jax.jvp(lambda t: Rectified().corrupt(x, noise, t), (jnp.full((2, 5), 0.3),), (jnp.ones((2, 5)),))[1]
    np.testing.assert_allclose(slope, noise - x, rtol=1e-6)


def test_a_velocity_prediction_is_taken_as_it_is(pair):
    output, x_t = pair
    np.testing.assert_array_equal(Rectified("velocity").velocity(output, x_t, jnp.full((2, 5), 0.3)), output)


@pytest.mark.parametrize("t", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("prediction", ["clean", "velocity"])
def test_the_exact_output_gives_the_exact_velocity(pair, prediction, t):
    x, noise = pair
    path, t = Rectified(prediction), jnp.full((2, 5), t)
    velocity = path.velocity(path.target(x, noise, t), path.corrupt(x, noise, t), t)
    np.testing.assert_allclose(velocity, noise - x, atol=1e-4)


@pytest.mark.parametrize("t", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("prediction", ["clean", "velocity"])
def test_the_weight_turns_an_error_of_the_output_into_one_of_the_velocity(pair, prediction, t):
    x, noise = pair
    path, t = Rectified(prediction), jnp.full((2, 5), t)
    wrong = path.target(x, noise, t) + 0.5
    error = jnp.square(path.velocity(wrong, path.corrupt(x, noise, t), t) - (noise - x)).mean(-1)
    np.testing.assert_allclose(0.25 * path.weight(t), error, rtol=1e-3)


@pytest.mark.parametrize("floor", [0.05, 0.2])
def test_below_the_floor_the_weight_stops_growing(floor):
    weight = Rectified("clean", floor).weight(jnp.array([0.0, floor / 2, floor]))
    np.testing.assert_allclose(weight, floor**-2, rtol=1e-5)


def test_an_unknown_prediction_is_refused_by_name():
    with pytest.raises(ValueError, match="'score'"):
        Rectified("score")


@given(times, st.floats(0.1, 10))
def test_shift_is_the_formula_of_sd3_and_its_inverse_is_the_shift_by_the_reciprocal(t, factor):
    shifted = shift(jnp.float32(t), factor)
    assert float(shifted) == pytest.approx(factor * t / (1 + (factor - 1) * t), abs=1e-6)
    assert float(shift(shifted, 1 / factor)) == pytest.approx(t, abs=1e-5)


def test_shift_keeps_both_ends_and_moves_the_middle_towards_noise():
    assert shift(jnp.float32(0), 3.0) == 0 and shift(jnp.float32(1), 3.0) == 1
    assert shift(jnp.float32(0.5), 3.0) == pytest.approx(0.75)


@pytest.mark.parametrize(
    "sampler, law",
    [
        (uniform, scipy.stats.uniform.cdf),
        (
            lambda rng, shape: logit_normal(rng, shape, mean=0.5, std=1.5),
            lambda t: scipy.stats.norm.cdf((np.log(t / (1 - t)) - 0.5) / 1.5),
        ),
    ],
    ids=["uniform", "logit_normal"],
)
def test_times_follow_their_law(sampler, law, getkey):
    t = np.asarray(sampler(getkey(), (4000,)))
    assert scipy.stats.kstest(t, law).pvalue > 1e-3
