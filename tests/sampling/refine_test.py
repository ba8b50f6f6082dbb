"""Refining: with a table as the network, what is drawn is the known joint; a pass hides as many as its ratio says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from table_model import Table, blank, brushes, joint, nothing

from unified_jax.core.discrete import Absorbing
from unified_jax.core.masking import cosine, linear
from unified_jax.sampling.confidence import Confident, compounded
from unified_jax.sampling.fill import Refine
from unified_jax.sampling.refine import refine

N, V, ROWS = 3, 3, 8192
P = joint(N, V)
TABLE = Table(P, n=N, codes=V)
CHANCE = 1e6  # so much noise that the order is pure chance


def drawn(process, *, steps, rows: int = ROWS, **fields) -> np.ndarray:
    fill = Refine("image", process)
    made = brushes(rows, steps=steps, **fields)
    return np.asarray(refine(TABLE, {}, fill=fill, cache=nothing(rows), blank=blank(rows, N), brushes=made, most=128))


def fit(ids: np.ndarray) -> float:
    """The chance of counts as far from the joint as these."""
    counts = np.bincount(ids @ V ** np.arange(N)[::-1], minlength=V**N)
    return scipy.stats.chisquare(counts, P * len(ids)).pvalue


def test_one_id_a_pass_in_an_order_of_chance_draws_the_joint_itself():
    assert fit(drawn(Confident(V, linear, noise=CHANCE), steps=N)) > 1e-3


def test_all_ids_in_one_pass_draw_the_product_of_the_marginals_and_not_the_joint():
    ids = drawn(Confident(V, linear, noise=CHANCE), steps=1)
    assert fit(ids) < 1e-6
    first = P.reshape(V, -1).sum(1)
    assert scipy.stats.chisquare(np.bincount(ids[:, 0], minlength=V), first * ROWS).pvalue > 1e-3


def test_the_surest_first_sharpens():
    ids = drawn(Confident(V, linear, noise=0.0), steps=N)
    likelihood = lambda ids: np.log(P[ids @ V ** np.arange(N)[::-1]]).mean()
    assert likelihood(ids) > (P * np.log(P)).sum() + 0.05  # by far more than the error of a mean of 8192


def test_many_ancestral_passes_draw_the_joint():
    assert fit(drawn(Absorbing(V, linear), steps=128, rows=1024)) > 1e-3


def test_rows_take_as_many_passes_as_they_ask_for():
    steps = jnp.where(jnp.arange(ROWS) % 2 == 0, 1, N).astype(jnp.int32)
    process = Confident(V, linear, noise=CHANCE)
    alike, mixed = drawn(process, steps=N), drawn(process, steps=steps)
    np.testing.assert_array_equal(mixed[1::2], alike[1::2])
    assert fit(mixed[::2]) < 1e-6 < fit(mixed[1::2])


def test_temperature_zero_takes_the_likeliest_of_every_entry():
    ids = drawn(Confident(V, linear), steps=1, temperature=jnp.zeros(ROWS))
    marginals = [P.reshape([V] * N).sum(tuple(j for j in range(N) if j != i)) for i in range(N)]
    np.testing.assert_array_equal(ids, np.tile([m.argmax() for m in marginals], (ROWS, 1)))


@pytest.mark.parametrize("process", [Confident(V, linear), Absorbing(V, linear)])
@pytest.mark.parametrize("kept", [{"top_k": jnp.ones(64, jnp.int32)}, {"top_p": jnp.full(64, 1e-6)}])
def test_ids_that_top_k_or_top_p_leave_out_are_not_drawn(process, kept):
    likeliest = drawn(process, steps=1, rows=64, temperature=jnp.zeros(64))
    np.testing.assert_array_equal(drawn(process, steps=1, rows=64, **kept), likeliest)


@pytest.mark.parametrize("ratio", [linear, cosine])
def test_each_pass_hides_again_what_the_ratio_leaves_and_uncovers_at_least_one(ratio):
    n, steps = 12, 8
    process, z = Confident(V, ratio), jnp.full(12, V, jnp.int32)
    for i in range(steps):
        s, before = 1 - (i + 1) / steps, int((z == V).sum())
        logits = jax.random.normal(jax.random.key(i), (n, V))
        old, z = z, process.reverse(jax.random.key(i), z, logits, t=jnp.float32(1 - i / steps), s=jnp.float32(s))
        share = s if ratio is linear else np.cos(np.pi / 2 * (1 - s))
        assert int((z == V).sum()) == min(np.floor(share * n + 1e-3), before - 1)
        assert ((old == V) | (z == old)).all()  # what stands, stands
    assert (z < V).all()


def test_passes_may_leave_a_mask_until_the_last():
    z, process = jnp.array([V, V, 0, 1, 2]), Confident(V, linear, least=1)
    logits, key, at = (
        jnp.zeros((len(z), V)),
        jax.random.key(0),
        lambda s: dict(t=jnp.float32(s + 0.1), s=jnp.float32(s)),
    )
    for s, left in ((0.2, 1), (0.1, 1), (0.0, 0)):
        z = process.reverse(key, z, logits, **at(s))
        assert int((z == V).sum()) == left
    np.testing.assert_array_equal(process.reverse(key, z, logits, **at(0.1)), z)


@pytest.mark.parametrize("passes", [1, 6, 50])
def test_compounded_noise_is_multiplied_by_every_pass(passes):
    s = 1 - np.arange(1, passes + 1) / passes
    got = [compounded(jnp.float32(x + 1 / passes), jnp.float32(x)) for x in s]
    np.testing.assert_allclose(got, np.cumprod(s), rtol=1e-3, atol=1e-7)
