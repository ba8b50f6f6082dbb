"""Noise paths and time samplers against their formulas and known distributions."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from unified_jax.core.noise import Edm, Rectified, VariancePreserving, betas, logit_normal, shift, timetable, uniform
from unified_jax.core.noise import times as times_of
from unified_jax.core.noise import timetables as tables
from unified_jax.core.noise.prediction import CLEAN, NOISE, PREDICTIONS, Preconditioned, V, gain
from unified_jax.core.noise.shifts import by_resolution, exponential

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


PATHS = {
    "rectified": Rectified(),
    "linear": VariancePreserving(),
    "cosine": VariancePreserving(betas=betas.squared_cosine(40)),
    "edm": Edm(),
}
MEANINGS = {**PREDICTIONS, "preconditioned": Preconditioned(0.5)}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("source", MEANINGS)
def test_any_output_of_an_exact_network_says_everything_else(pair, path, source):
    x, noise = pair
    path, t = dataclasses.replace(path, prediction=MEANINGS[source]), jnp.full((2, 5), 0.4)
    point = path.at(t).over(x)
    x_t = point.alpha * x + point.sigma * noise
    np.testing.assert_allclose(path.corrupt(x, noise, t), x_t, rtol=1e-6)
    for meaning in MEANINGS.values():
        a, b = meaning.row(point)
        found = path.read(path.target(x, noise, t), x_t, t=t, to=meaning)
        np.testing.assert_allclose(found, a * x + b * noise, atol=1e-4)


def test_gain_is_the_error_of_the_other_quantity(pair):
    x, noise = pair
    path, t = VariancePreserving("v"), jnp.full((2, 5), 0.3)
    x_t, output = path.corrupt(x, noise, t), path.target(x, noise, t)
    for meaning in (CLEAN, NOISE):
        error = path.read(output + 0.5, x_t, t=t, to=meaning) - path.read(output, x_t, t=t, to=meaning)
        np.testing.assert_allclose(error, 0.5 * gain(path.at(t), source=V, to=meaning)[..., None] + 0 * x, atol=1e-4)


def test_preconditioning_is_that_of_edms_table_1():
    """D = c_skip x + c_out F(c_in x), in EDM's own variables: x of variance sigma^2 + data_std^2."""
    path, std = Edm(data_std=0.5), 0.5
    t, output, seen = jnp.array([0.3, 0.7]), jnp.array([[0.2], [-1.0]]), jnp.array([[0.4], [1.5]])
    sigma = 80.0 * np.asarray(t)[:, None] ** 7
    x = np.asarray(seen) * np.sqrt(sigma**2 + std**2)
    denoised = std**2 / (sigma**2 + std**2) * x + sigma * std / np.sqrt(sigma**2 + std**2) * np.asarray(output)
    np.testing.assert_allclose(path.read(output, seen, t=t, to=CLEAN), denoised, rtol=1e-4)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_every_path_begins_at_clean_data_rises_and_can_be_inverted(path):
    t = jnp.linspace(0.0, 0.9, 10)
    ratio = path.at(t).ratio
    assert ratio[0] == 0 and (jnp.diff(ratio) > 0).all()
    np.testing.assert_allclose(path.time(ratio), t, atol=1e-5)


def test_a_level_i_of_n_is_the_time_i_plus_1_over_n():
    table = betas.linear(10, first=0.01, last=0.3)
    path, signal = VariancePreserving(betas=table), np.cumprod(1 - np.array(table))
    point = path.at((jnp.arange(10) + 1) / 10)
    np.testing.assert_allclose(point.alpha, np.sqrt(signal), rtol=1e-6)
    np.testing.assert_allclose(point.sigma, np.sqrt(1 - signal), rtol=1e-6)
    between = path.at(jnp.float32(0.45)).ratio
    np.testing.assert_allclose(between, (point.ratio[3] + point.ratio[4]) / 2, rtol=1e-5)


def test_the_tables_are_those_of_the_papers():
    np.testing.assert_allclose(betas.linear()[:2], [1e-4, 1e-4 + 0.0199 / 999])
    np.testing.assert_allclose(np.sqrt(betas.scaled_linear())[[0, -1]], np.sqrt([0.00085, 0.012]))
    cosine = np.cumprod(1 - np.array(betas.squared_cosine()))
    f = lambda u: np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(cosine[:900], f(np.arange(1, 901) / 1000) / f(0), rtol=1e-6)
    assert max(betas.squared_cosine()) == 0.999


def test_zero_terminal_keeps_the_first_level_and_ends_at_pure_noise():
    before, after = betas.scaled_linear(), betas.zero_terminal(betas.scaled_linear())
    assert after[0] == pytest.approx(before[0])
    point = VariancePreserving("v", after).at(jnp.array([1.0, 0.999]))
    assert point.alpha[0] == 0 and point.sigma[0] == 1 and point.alpha[1] > 1e-4
    alpha = np.sqrt(np.cumprod(1 - np.array(before)))
    np.testing.assert_allclose(point.alpha[1], (alpha[-2] - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1]), rtol=1e-3)


@pytest.mark.parametrize(
    "sampler, law",
    [
        (uniform, scipy.stats.uniform.cdf),
        (
            lambda rng, shape: logit_normal(rng, shape, mean=0.5, std=1.5),
            lambda t: scipy.stats.norm.cdf((np.log(t / (1 - t)) - 0.5) / 1.5),
        ),
        # The density of the paper's eq. 21, 2 / (pi - 2 pi t + 2 pi t^2), integrated.
        (times_of.cosmap, lambda t: 0.5 + 2 / np.pi * np.arctan(2 * t - 1)),
        (
            lambda rng, shape: times_of.log_normal(rng, shape, path=Edm()),
            lambda t: scipy.stats.norm.cdf((np.log(80 * t**7) + 1.2) / 1.2),
        ),
        (lambda rng, shape: 1 - times_of.mode(rng, shape, scale=0.0), scipy.stats.uniform.cdf),
    ],
    ids=["uniform", "logit_normal", "cosmap", "log_normal", "mode of scale 0"],
)
def test_times_follow_their_law(sampler, law, getkey):
    t = np.asarray(sampler(getkey(), (4000,)))
    assert scipy.stats.kstest(t, law).pvalue > 1e-3


@pytest.mark.parametrize("scale", [1.29, -0.5])
def test_mode_times_are_the_map_of_the_paper(scale, getkey):
    key = getkey()
    u = np.asarray(jax.random.uniform(key, (50,)))
    f = 1 - u - scale * (np.cos(np.pi / 2 * u) ** 2 - 1 + u)
    np.testing.assert_allclose(times_of.mode(key, (50,), scale=scale), f, atol=1e-5)


def test_levels_are_all_drawn_alike(getkey):
    found = np.asarray(times_of.level(getkey(), (4000,), levels=8)) * 8
    counts = np.bincount(found.astype(int), minlength=9)
    assert counts[0] == 0 and scipy.stats.chisquare(counts[1:]).pvalue > 1e-3


@pytest.mark.parametrize("steps", [1, 5, 50])
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_a_timetable_runs_from_1_to_0_by_the_shift(steps, factor):
    t = np.asarray(timetable(jnp.array([steps]), jnp.array([factor]), most=steps)[:, 0])
    u = np.linspace(1, 0, steps + 1)
    np.testing.assert_allclose(t, factor * u / (1 + (factor - 1) * u), atol=1e-6)
    assert t[0] == 1 and t[-1] == 0 and (np.diff(t) < 0).all()


def test_spacings_visit_the_levels_that_are_published():
    """Levels counted from 0, as table 2 of arXiv:2305.08891 lists them for ten steps."""
    level = lambda t: np.round(t[:-1] * 1000 - 1).astype(int).tolist()
    assert level(tables.leading(10, offset=1)) == [901, 801, 701, 601, 501, 401, 301, 201, 101, 1]
    assert level(tables.trailing(10)) == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    assert level(tables.linspace(10)) == [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]
    assert level(tables.rounded(tables.linspace(3, spare=1))) == [999, 666, 333]
    assert all(spacing(7)[-1] == 0 for spacing in (tables.leading, tables.trailing, tables.linspace))


@pytest.mark.parametrize("spacing", [tables.leading, tables.trailing])
def test_more_steps_than_levels_are_refused(spacing):
    with pytest.raises(ValueError, match="from 1 to the 10 levels of the table, found 11"):
        spacing(11, levels=10)


def test_karras_levels_are_even_in_their_root():
    t = tables.karras(Edm(), 5, least=0.01, most=50.0)
    sigma = np.asarray(Edm().at(t).ratio, np.float64)
    assert sigma[0] == pytest.approx(50.0, rel=1e-4) and sigma[-2] == pytest.approx(0.01, rel=1e-4) and sigma[-1] == 0
    np.testing.assert_allclose(np.diff(sigma[:-1] ** (1 / 7), 2), 0, atol=1e-5)
    # On EDM's own path they are even in time.
    np.testing.assert_allclose(np.diff(t[:-1], 2), 0, atol=1e-6)


def test_shifts_by_length():
    assert exponential(256) == pytest.approx(np.exp(0.5)) and exponential(4096) == pytest.approx(np.exp(1.15))
    assert exponential(2176) == pytest.approx(np.exp(0.825))
    assert by_resolution(4096, base=1024) == 2.0
