"""Unmasking: with a table as the network, block by block draws what is known; a pass uncovers as many as it should."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from table_model import Table, blank, brushes, joint, nothing

from unified_jax.data.plan import Span
from unified_jax.sampling.fill import Unmask
from unified_jax.sampling.unmask import share, uncover, unmask

N, V, ROWS = 3, 3, 8192
P = joint(N, V)
TABLE = Table(P, n=N, codes=V)


def drawn(*, steps: int, block: int, rows: int = ROWS, **fields) -> np.ndarray:
    made = brushes(rows, steps=steps, block=jnp.full(rows, block, jnp.int32), **fields)
    fill = Unmask("image", V)
    return np.asarray(unmask(TABLE, {}, fill=fill, cache=nothing(rows), blank=blank(rows, N), brushes=made, most=64))


def fit(ids: np.ndarray) -> float:
    """The chance of counts as far from the joint as these."""
    counts = np.bincount(ids @ V ** np.arange(N)[::-1], minlength=V**N)
    return scipy.stats.chisquare(counts, P * len(ids)).pvalue


def test_blocks_of_one_draw_the_joint_and_one_block_in_one_pass_does_not():
    assert fit(drawn(steps=N, block=1)) > 1e-3
    assert fit(drawn(steps=1, block=N)) < 1e-6


def test_fewer_steps_than_blocks_take_one_pass_a_block():
    np.testing.assert_array_equal(drawn(steps=1, block=1, rows=64), drawn(steps=N, block=1, rows=64))


def test_top_k_and_temperature_choose():
    likeliest = drawn(steps=1, block=N, rows=64, temperature=jnp.zeros(64))
    np.testing.assert_array_equal(drawn(steps=1, block=N, rows=64, top_k=jnp.ones(64, jnp.int32)), likeliest)
    marginals = [P.reshape([V] * N).sum(tuple(j for j in range(N) if j != i)) for i in range(N)]
    np.testing.assert_array_equal(likeliest, np.tile([m.argmax() for m in marginals], (64, 1)))


@settings(max_examples=15)
@given(n=st.integers(1, 40), block=st.integers(1, 50), steps=st.integers(1, 60))
def test_passes_uncover_every_block_from_left_to_right(n, block, steps):
    blocks = [range(start, min(start + block, n)) for start in range(0, n, block)]
    passes = max(1, steps // len(blocks))
    until, counts = share(jnp.arange(64), n=n, block=jnp.array([block]), steps=jnp.array([steps]))
    want = [(each.stop, len(each) // passes + (j < len(each) % passes)) for each in blocks for j in range(passes)]
    assert [*zip(until.tolist(), counts.tolist())] == [*want, *[(n, 0)] * (64 - len(want))]


def test_a_pass_keeps_the_surest_of_its_block_by_the_logits_it_is_given():
    z, first = jnp.array([9, 3, 9, 9, 9]), jnp.array([0.5, 0.1, 0.2, 0.6, 0.0])
    logits = jnp.log(jnp.stack([first, 1 - first], 1))
    chosen = jnp.array([0, 0, 1, 1, 1], jnp.int32)
    made = lambda count: uncover(z, logits, chosen, mask=9, until=jnp.int32(4), count=jnp.int32(count)).tolist()
    assert [made(i) for i in range(5)] == [
        [9, 3, 9, 9, 9],
        [9, 3, 1, 9, 9],
        [0, 3, 1, 9, 9],
        [0, 3, 1, 1, 9],
        [0, 3, 1, 1, 9],  # what lies behind the block stays
    ]


def test_a_blank_is_opened_to_as_many_masks_as_its_text_may_have_ids():
    given = ("prompt", np.arange(3, dtype=np.int32))
    span = Unmask("text", 7).opened(Span((given, ("text", np.zeros(1, np.int32)))), 5)
    assert span.parts[0] is given
    np.testing.assert_array_equal(span.parts[1][1], [7] * 5)


@pytest.mark.parametrize("block", [1, 2, 3])
def test_rows_have_blocks_of_their_own(block):
    mixed = brushes(64, steps=N, block=jnp.where(jnp.arange(64) % 2 == 0, 3, block).astype(jnp.int32))
    fill = Unmask("image", V)
    made = np.asarray(unmask(TABLE, {}, fill=fill, cache=nothing(64), blank=blank(64, N), brushes=mixed, most=64))
    np.testing.assert_array_equal(made[1::2], drawn(steps=N, block=block, rows=64)[1::2])
