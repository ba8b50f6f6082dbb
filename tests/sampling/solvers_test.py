"""Solvers: known flows and laws are followed at the order of the method, and rows do not mind their neighbours."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from experiments.samplers import orders
from unified_jax.core.noise import Rectified, VariancePreserving, timetable
from unified_jax.sampling.solvers.ancestral import Ddim, Ddpm
from unified_jax.sampling.solvers.chart import EXPLODING
from unified_jax.sampling.solvers.churn import Churn
from unified_jax.sampling.solvers.dpm import Dpm
from unified_jax.sampling.solvers.euler import Euler
from unified_jax.sampling.solvers.flow_sde import FlowSde
from unified_jax.sampling.solvers.gaussian import Gaussian
from unified_jax.sampling.solvers.lcm import Lcm
from unified_jax.sampling.solvers.likelihood import log_likelihood
from unified_jax.sampling.solvers.solve import Denoiser, Estimate, Interval, solve, trajectory
from unified_jax.sampling.solvers.two_stage import TwoStage
from unified_jax.sampling.solvers.unipc import UniPc

COUNTS = (8, 16, 32, 64)


@pytest.mark.parametrize("name", orders.DETERMINISTIC)
def test_the_flow_is_followed_at_the_order_of_the_method(name):
    run = orders.DETERMINISTIC[name]
    errors = orders.flow_errors(run, COUNTS)
    assert run.order - 0.25 < orders.slope(errors, COUNTS) < run.order + 1.0
    assert errors[-1] < (0.05 if run.order == 1 else 0.005)


@pytest.mark.parametrize("name", orders.STOCHASTIC)
def test_the_law_of_what_is_drawn_comes_near_the_datas_at_the_order_of_the_method(name):
    run = orders.STOCHASTIC[name]
    errors = orders.law_errors(run, COUNTS)
    assert run.order - 0.25 < orders.slope(errors, COUNTS) < run.order + 1.0
    assert errors[-1] < 0.05


def test_euler_and_ddim_are_one_method_in_any_chart():
    path, t = VariancePreserving("v"), jnp.linspace(1, 0, 9)
    network, x = orders.network_of(orders.TWO, path), jnp.linspace(-2, 2, 5)[:, None]
    found = [trajectory(network, x, t=t, path=path, solver=s).x for s in (Euler(), Euler(EXPLODING), Ddim())]
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    np.testing.assert_allclose(found[2], found[0], atol=1e-5)


def test_one_euler_step_of_a_flow_is_the_formula():
    x = jnp.array([1.0, 3.0])
    found = solve(lambda x, point: 2 * x + point.t, x, t=jnp.array([1.0, 0.25]), path=Rectified(), solver=Euler())
    np.testing.assert_allclose(found, x - 0.75 * (2 * x + 1.0))


@pytest.mark.parametrize("solver", [Euler(), Ddim(1.0), Dpm(), Lcm()])
def test_the_network_is_asked_at_the_start_of_every_interval_and_never_at_0(solver):
    asked = []

    def network(x, point):
        jax.debug.callback(lambda t: asked.append(float(t)), point.t)
        return x

    t = jnp.array([1.0, 0.7, 0.2, 0.0])
    solve(network, jnp.ones((1, 1)), t=t, path=Rectified(), solver=solver, noise=lambda i: jnp.ones((1, 1)))
    jax.effects_barrier()
    np.testing.assert_allclose(sorted(asked, reverse=True), t[:-1])


SOLVERS = [Euler(), TwoStage(), TwoStage(fraction=0.5), Ddim(1.0), Ddpm(), Lcm(), FlowSde(), Dpm(), Dpm(1.0), UniPc()]


@pytest.mark.parametrize("solver", [*SOLVERS, Churn(TwoStage())], ids=lambda solver: type(solver).__name__)
def test_rows_of_fewer_steps_arrive_early_stay_and_do_not_mind_their_neighbours(solver):
    path, x = Rectified(), jnp.array([[[0.3], [-1.2]], [[0.9], [0.1]]])
    noise = lambda i: jnp.sin(jnp.arange(2.0)[:, None, None] + i + jnp.arange(2.0)[None, :, None])
    network = orders.network_of(orders.TWO, path)
    t = timetable(jnp.array([2, 5]), jnp.array([1.0, 3.0]), most=7)
    run = lambda x, t, noise: trajectory(network, x, t=t, path=path, solver=solver, noise=noise).x
    together = run(x, t, noise)
    alone = run(x[:1], t[:3, :1], lambda i: noise(i)[:1])
    np.testing.assert_allclose(together[:2, :1], alone, atol=1e-6)
    assert (together[2:, 0] == together[1, 0]).all() and (together[5:, 1] == together[4, 1]).all()
    assert jnp.isfinite(together).all()


def test_the_first_steps_of_a_longer_timetable_are_enough():
    path, x, t = Rectified(), jnp.ones((3, 1)), timetable(jnp.array([4]), jnp.array([1.0]), most=9)[:, 0]
    network = orders.network_of(orders.TWO, path)
    whole = solve(network, x, t=t, path=path, solver=Dpm())
    np.testing.assert_array_equal(whole, solve(network, x, t=t, path=path, solver=Dpm(), steps=jnp.int32(4)))


def test_a_consistency_function_keeps_the_law_in_any_number_of_steps():
    """For one Gaussian the flow's end is m + s (x_t - alpha m) / sqrt((alpha s)^2 + sigma^2)."""
    path, (_, mean, std) = VariancePreserving("clean"), orders.ONE[0]

    def network(x, point):
        point = point.over(x)
        return mean + std * (x - point.alpha * mean) / jnp.sqrt((point.alpha * std) ** 2 + point.sigma**2)

    for t in (jnp.array([1.0, 0.0]), jnp.array([1.0, 0.6, 0.3, 0.1, 0.0])):
        x = jnp.zeros((7, 1)).at[1].set(1.0)
        found = solve(network, x, t=t, path=path, solver=Lcm(), noise=lambda i: jax.nn.one_hot(i + 2, 7)[:, None])
        assert float(found[0, 0]) == pytest.approx(mean, abs=1e-2)
        assert float(jnp.sqrt(jnp.square(found[1:] - found[0]).sum())) == pytest.approx(std, abs=1e-2)


def test_the_log_probability_of_a_gaussian_is_the_density_by_hand():
    rng = np.random.default_rng(0)
    mean, x, std = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4)), np.array([0.5, 2.0])
    found = Gaussian(jnp.float32(mean), jnp.float32(std)).log_prob(jnp.float32(x))
    by_hand = scipy.stats.norm.logpdf(x, mean, std[:, None, None]).sum((1, 2))
    np.testing.assert_allclose(found, by_hand, rtol=1e-5)


def test_a_step_of_the_flow_sde_is_the_formula_of_flow_grpo():
    t, s, level, x, v = 0.6, 0.4, 0.7, np.array([[0.3, -1.0]]), np.array([[0.5, 0.2]])
    path = Rectified()
    here, there = path.at(jnp.full(1, t)), path.at(jnp.full(1, s))
    estimate = Estimate(jnp.float32(v), jnp.float32(x), here, path.output)
    law = FlowSde(level).transition(estimate, Interval(here, there, left=1, count=1, noise=None))
    noise = level * np.sqrt(t / (1 - t))
    mean = x + (v + noise**2 / (2 * t) * (x + (1 - t) * v)) * (s - t)
    np.testing.assert_allclose(law.mean, mean, rtol=1e-5)
    np.testing.assert_allclose(law.std, np.full((1, 1), noise * np.sqrt(t - s)), rtol=1e-5)


@pytest.mark.parametrize("solver", [FlowSde(), Ddim(1.0), Ddpm(between=1.0)], ids=lambda solver: type(solver).__name__)
def test_replaying_a_rollout_gives_the_same_log_probabilities(solver):
    """The ratio of new to old policy is 1 before the first update."""
    path, t = Rectified(), jnp.linspace(1, 0.1, 6)
    network, first = orders.network_of(orders.TWO, path), jnp.array([[0.4, -0.2], [1.0, 0.7]])
    noise = lambda i: jnp.cos(3.0 * i + jnp.arange(4.0).reshape(2, 2))
    states = trajectory(network, first, t=t, path=path, solver=solver, noise=noise)
    before = jnp.concatenate([first[None], states.x[:-1]])

    @jax.vmap
    def replay(x, reached, start, end):
        here, there = path.at(start), path.at(end)
        interval = Interval(here, there, left=1, count=1, noise=None)
        return solver.transition(Denoiser(network, path)(x, here), interval).log_prob(reached)

    again = replay(before, states.x, t[:-1], t[1:])
    assert again.shape == (5, 2) and jnp.isfinite(again).all()
    np.testing.assert_allclose(jnp.exp(again - states.memory), 1.0, atol=1e-4)


def test_without_noise_the_flow_sde_is_euler():
    path, t, x = Rectified(), jnp.linspace(1, 0, 6), jnp.ones((2, 1))
    network = orders.network_of(orders.TWO, path)
    euler = solve(network, x, t=t, path=path, solver=Euler())
    np.testing.assert_allclose(solve(network, x, t=t, path=path, solver=FlowSde(0.0)), euler, atol=1e-6)


def test_the_likelihood_of_a_flow_is_the_known_density():
    path, x = Rectified(), jnp.linspace(-2, 2, 9)
    weight, mean, std = orders.TWO.T
    density = (weight * scipy.stats.norm.pdf(np.asarray(x)[:, None], mean, std)).sum(-1)
    # Denser near the data, where the flow bends most.
    t = jnp.linspace(0, 1, 129) ** 1.5
    found = log_likelihood(orders.network_of(orders.TWO, path), x[:, None], t=t, path=path)
    np.testing.assert_allclose(found, np.log(density), atol=5e-3)


def test_solvers_are_values():
    assert dataclasses.replace(Churn(), churn=40.0) == Churn() and hash(Dpm()) == hash(Dpm(0.0))
