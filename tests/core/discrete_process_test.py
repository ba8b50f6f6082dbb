"""Discrete diffusion by brute force: the bound is the likelihood, and every reverse step keeps the marginal."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from unified_jax.core.discrete import Absorbing, Uniform
from unified_jax.core.masking import RATIOS, cosine, find_ratio, linear, slope, square_root

V = 3
PROCESSES = {
    "absorbing": Absorbing(V),
    "absorbing, cosine": Absorbing(V, cosine),
    "uniform": Uniform(V),
    "uniform, cosine": Uniform(V, cosine),
}
processes = pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)


def shown_ids(process) -> int:
    return V + isinstance(process, Absorbing)


def states(n: int, ids: int) -> np.ndarray:
    return np.array(list(itertools.product(range(ids), repeat=n)), np.int32)


def joint(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(V**n))


def forward(process, t, n: int):
    """q(z | x) [X Z] by the two lines of the module's docstring."""
    x, z = states(n, V), states(n, shown_ids(process))
    lost = process.ratio(t)
    same = jnp.asarray(x[:, None] == z[None])
    far = lost * jnp.asarray(z == V)[None] if isinstance(process, Absorbing) else lost / V
    return jnp.prod((1 - lost) * same + far, -1)


def posterior(process, p, t, n: int):
    """p(x_i | z) [Z n V], the exact network."""
    q = forward(process, t, n)
    weights = jnp.asarray(p)[:, None] * q
    weights = weights / jnp.maximum(weights.sum(0), 1e-30)
    return jnp.einsum("xz,xnv->znv", weights, jax.nn.one_hot(states(n, V), V))


@processes
def test_the_bound_of_the_exact_posterior_is_the_likelihood_of_every_state(process):
    n, p = 2, joint(2)
    x, z = states(n, V), states(n, shown_ids(process))
    shape = (len(x), len(z), n)
    whole = lambda array, axis: jnp.broadcast_to(jnp.expand_dims(jnp.asarray(array), axis), shape)

    @jax.jit
    @jax.vmap
    def density(t):
        logits = jnp.log(jnp.maximum(posterior(process, p, t, n), 1e-30))
        logits = jnp.broadcast_to(logits[None], (*shape, V))
        cost = process.cost(logits, whole(x, 1), z=whole(z, 0), t=jnp.full(shape, t))
        return (forward(process, t, n)[..., None] * cost).sum((1, 2))

    u, weights = np.polynomial.legendre.leggauss(64)
    u, weights = (u + 1) / 2, weights / 2
    # The density has a logarithm at 0 (and, where cosine ends, a root at 1), which u^2 (3 - 2u) smooths.
    t = jnp.asarray(u**2 * (3 - 2 * u), jnp.float32)
    bound = (density(t) * jnp.asarray(weights * 6 * u * (1 - u))[:, None]).sum(0)
    np.testing.assert_allclose(bound, -np.log(p), rtol=2e-3)


@processes
def test_reverse_steps_of_one_entry_have_its_exact_marginal_at_their_end(process):
    p, draws, end = joint(1, 3), 20_000, 0.3  # at 0 a wrong step would be forgiven: the posterior settles it
    z = process.start(jax.random.key(0), (draws, 1))
    for i, (t, s) in enumerate([(1.0, 0.7), (0.7, end)]):
        logits = jnp.log(posterior(process, p, jnp.float32(t), 1) + 1e-30)[z[:, 0]]
        z = process.reverse(jax.random.key(i + 1), z, logits, t=jnp.float32(t), s=jnp.float32(s))
    expected = np.asarray(p @ forward(process, jnp.float32(end), 1), np.float64)
    counts = np.bincount(np.asarray(z)[:, 0], minlength=len(expected))
    assert scipy.stats.chisquare(counts, expected / expected.sum() * draws).pvalue > 1e-3


@processes
def test_many_reverse_steps_give_the_joint_distribution(process):
    n, p, draws, steps = 2, joint(2), 8_000, 200
    index = shown_ids(process) ** np.arange(n)[::-1]

    def step(i, z):
        t, s = 1 - i / steps, 1 - (i + 1) / steps
        logits = jnp.log(posterior(process, p, t, n) + 1e-30)[z @ index]
        return process.reverse(jax.random.fold_in(jax.random.key(5), i), z, logits, t=t, s=jnp.maximum(s, 0.0))

    z = jax.jit(lambda: jax.lax.fori_loop(0, steps, step, process.start(jax.random.key(4), (draws, n))))()
    counts = np.bincount(np.asarray(z) @ V ** np.arange(n)[::-1], minlength=V**n)
    assert scipy.stats.chisquare(counts, p * draws).pvalue > 1e-3


@processes
def test_ids_are_lost_as_often_as_the_ratio_says(process):
    n, t = 40_000, 0.3
    z = process.corrupt(jax.random.key(0), jnp.zeros(n, jnp.int32), jnp.full(n, t))
    lost = float(process.ratio(jnp.float32(t))) * (1.0 if isinstance(process, Absorbing) else 1 - 1 / V)
    assert float((z != 0).mean()) == pytest.approx(lost, abs=5 * np.sqrt(lost * (1 - lost) / n))


@processes
@pytest.mark.parametrize("t", [0.0, 1.0])
def test_costs_and_their_gradients_are_finite_at_both_ends(process, t):
    x, z = jnp.array([0, 1]), jnp.array([0, V if isinstance(process, Absorbing) else 2])
    cost = lambda logits: process.cost(logits, x, z=z, t=jnp.full(2, t)).sum()
    value, gradient = jax.value_and_grad(cost)(jnp.zeros((2, V)))
    assert jnp.isfinite(value) and jnp.isfinite(gradient).all()


@pytest.mark.parametrize("ratio", RATIOS.values(), ids=RATIOS)
def test_a_ratio_grows_from_nothing_to_all_and_has_the_slope_it_shows(ratio):
    t = jnp.linspace(0.0, 1.0, 101)
    values = ratio(t)
    assert float(values[0]) == 0 and float(values[-1]) == pytest.approx(1) and (jnp.diff(values) > 0).all()
    inner = jnp.linspace(0.1, 0.9, 9)
    numeric = (ratio(inner + 1e-3) - ratio(inner - 1e-3)) / 2e-3
    np.testing.assert_allclose(slope(ratio, inner), numeric, rtol=2e-3)


def test_the_ratios_are_those_of_maskgit_at_half_of_the_way():
    half = jnp.float32(0.5)  # MaskGIT, figure 8: cos(pi / 4), 1 - r, 1 - sqrt(r)
    assert [float(f(half)) for f in (cosine, linear, square_root)] == pytest.approx([0.70711, 0.5, 0.29289], abs=1e-4)
    with pytest.raises(ValueError, match="unknown mask ratio 'cosin'; choose one of linear, cosine"):
        find_ratio("cosin")
