"""Next scale: with a table as the network, codes drawn scale by scale follow a known joint."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from table_model import ScaleTable, blank, brushes, nothing

from unified_jax.sampling.fill import NextScale, Settings
from unified_jax.sampling.next_scale import next_scale
from unified_jax.sampling.work import Work

N, V, ROWS = 5, 2, 8192


@pytest.fixture(scope="module")
def joint() -> np.ndarray:
    """A first code, and four that differ with it but, given it, not with each other: what one pass a scale can draw."""
    rng = np.random.default_rng(0)
    first, others = rng.dirichlet(np.ones(V)), rng.dirichlet(np.ones(V), (V, N - 1))
    states = np.indices([V] * N).reshape(N, -1).T
    return np.array([first[x[0]] * np.prod([others[x[0], i, x[i + 1]] for i in range(N - 1)]) for x in states])


def drawn(joint, counts: tuple[int, ...], **fields) -> np.ndarray:
    table, fill = ScaleTable(joint, n=N, codes=V), NextScale("image", counts)
    made = brushes(ROWS, steps=1, **fields)
    made = next_scale(table, {}, fill=fill, cache=nothing(ROWS), blank=blank(ROWS, N), brushes=made, most=64)
    return np.bincount(np.asarray(made) @ V ** np.arange(N)[::-1], minlength=V**N)


def test_scale_after_scale_draws_the_joint(joint):
    assert scipy.stats.chisquare(drawn(joint, (1, 4)), joint * ROWS).pvalue > 1e-3


def test_all_in_one_scale_draws_only_the_marginals(joint):
    assert scipy.stats.chisquare(drawn(joint, (5,)), joint * ROWS).pvalue < 1e-6


def test_ids_that_top_k_leaves_out_are_not_drawn(joint):
    likeliest = drawn(joint, (1, 4), temperature=jnp.zeros(ROWS))
    assert likeliest.max() == ROWS
    np.testing.assert_array_equal(drawn(joint, (1, 4), top_k=jnp.ones(ROWS, jnp.int32)), likeliest)


def test_work_counts_what_every_scale_sees():
    assert NextScale("image", (1, 4, 9)).work(14, Settings()) == Work(
        14, entries=14, reads=14, pairs=1 + 4 * 5 + 9 * 14
    )
