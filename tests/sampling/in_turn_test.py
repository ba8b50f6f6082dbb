"""In turn: with a table as the network, codes drawn one by one follow the known joint, in any order of places."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from table_model import OrderedTable, brushes, in_pairs, joint, nothing

from unified_jax.core.noise import Rectified
from unified_jax.sampling.fill import InTurn, Settings
from unified_jax.sampling.in_turn import in_turn
from unified_jax.sampling.pick import Id, Vector
from unified_jax.sampling.work import Work

N, V, ROWS = 3, 3, 8192
P = joint(N, V)
TABLE = OrderedTable(P, n=N, codes=V)


def drawn(hints: str | None, rows: int = ROWS, **fields) -> np.ndarray:
    blank = in_pairs(rows, N, hints=hints is not None)
    made = brushes(rows, steps=1, **fields)
    fill = InTurn("image", Id(), hints=hints)
    return np.asarray(in_turn(TABLE, {}, fill=fill, cache=nothing(rows), blank=blank, brushes=made, most=64))


@pytest.mark.parametrize("hints", [None, "place"])
def test_codes_in_turn_draw_the_joint(hints):
    counts = np.bincount(drawn(hints) @ V ** np.arange(N)[::-1], minlength=V**N)
    assert scipy.stats.chisquare(counts, P * ROWS).pvalue > 1e-3


def test_the_order_is_chance_and_the_codes_come_back_in_their_places():
    """Greedy codes depend on the order; each row's are those of one of the six orders, and every order occurs."""
    rows = 256
    found = {tuple(ids) for ids in drawn("place", rows, temperature=jnp.zeros(rows)).tolist()}
    assert found == {_greedy(order) for order in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]}


def test_ids_that_top_k_leaves_out_are_not_drawn():
    likeliest = drawn(None, 64, temperature=jnp.zeros(64))
    np.testing.assert_array_equal(drawn(None, 64, top_k=jnp.ones(64, jnp.int32)), likeliest)


def _greedy(order) -> tuple[int, ...]:
    p, ids = P.reshape([V] * N), [slice(None)] * N
    for place in order:
        kept = p[tuple(slice(x, x + 1) if not isinstance(x, slice) else x for x in ids)]
        ids[place] = int(kept.sum(tuple(i for i in range(N) if i != place)).argmax())
    return tuple(ids)


def test_work_counts_every_slot_and_every_pass_of_the_head():
    count = lambda **fields: InTurn("image", **fields).work(4, Settings(steps=5))
    assert count(pick=Id()) == Work(4, entries=4, reads=4, pairs=10)
    assert count(pick=Id(), hints="place") == Work(8, entries=4, reads=4, pairs=36)
    assert count(pick=Vector(Rectified())) == Work(4, entries=4, reads=20, pairs=10)
