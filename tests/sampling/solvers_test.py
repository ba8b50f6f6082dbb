"""Solvers: known flows are followed, at first order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.sampling.solvers import euler, timetable

MEAN, STD = 1.5, 0.3


def times(steps: int, factor: float = 1.0) -> jax.Array:
    """The timetable of one row."""
    return timetable(jnp.array([steps]), jnp.array([factor]), most=steps)[:, 0]


def gaussian_velocity(x, t):
    """E[e - x0 | x_t] for x0 ~ N(MEAN, STD^2) on the straight path: all is Gaussian, so it is linear in x_t."""
    variance = (1 - t) ** 2 * STD**2 + t**2
    slope = (t - (1 - t) * STD**2) / variance
    return -MEAN + slope * (x - (1 - t) * MEAN)


@pytest.fixture(scope="module")
def solve():
    return jax.jit(lambda noise, t: euler(gaussian_velocity, noise, t))


NOISE = jnp.linspace(-2.5, 2.5, 11)
EXACT = MEAN + STD * NOISE  # the flow between two Gaussians keeps quantiles


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_the_ode_carries_noise_to_the_data_distribution(factor, solve):
    np.testing.assert_allclose(solve(NOISE, times(1000, factor)), EXACT, atol=5e-3)


def test_the_error_falls_at_first_order(solve):
    steps = [16, 32, 64, 128]
    errors = [float(jnp.abs(solve(NOISE, times(n)) - EXACT).max()) for n in steps]
    order = -np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert 0.8 < order < 1.3


def test_one_step_is_the_formula():
    found = euler(lambda x, t: 2 * x + t, jnp.array([1.0, 3.0]), jnp.array([1.0, 0.25]))
    np.testing.assert_allclose(found, jnp.array([1.0, 3.0]) - 0.75 * (2 * jnp.array([1.0, 3.0]) + 1.0))


def test_the_velocity_is_asked_at_the_start_of_every_interval_and_never_at_0():
    grid = times(4, 3.0)
    total = euler(lambda x, t: t * jnp.ones_like(x), jnp.zeros(1), grid)
    np.testing.assert_allclose(total[0], sum((b - a) * a for a, b in zip(grid[:-1], grid[1:])), rtol=1e-5)


@pytest.mark.parametrize("steps", [1, 5, 50])
@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_times_run_from_1_to_0_in_so_many_intervals(steps, factor):
    t = np.asarray(times(steps, factor))
    assert len(t) == steps + 1 and t[0] == 1 and t[-1] == 0 and (np.diff(t) < 0).all()


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_times_are_shifted_by_the_formula(factor):
    u = np.linspace(1, 0, 9)
    np.testing.assert_allclose(times(8, factor), factor * u / (1 + (factor - 1) * u), atol=1e-6)


def test_rows_of_fewer_steps_arrive_early_and_stay():
    together = timetable(jnp.array([2, 5]), jnp.array([1.0, 3.0]), most=7)
    np.testing.assert_allclose(together[:3, 0], times(2), atol=1e-6)
    np.testing.assert_allclose(together[:6, 1], times(5, 3.0), atol=1e-6)
    assert (together[2:, 0] == 0).all() and (together[5:, 1] == 0).all()
