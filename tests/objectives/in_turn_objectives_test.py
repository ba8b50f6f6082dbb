"""Random order and per-entry flow: what is shuffled or drafted, what stays, and the error of an exact answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from unified_jax.core.noise import Rectified
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.objectives.random_order import RandomOrder
from unified_jax.objectives.token_flow import TokenFlow

B, N, P = 200, 9, 2
UNIT = jnp.tile(jnp.array([0] * 3 + [1] * 2 + [2] * 3 + [0], jnp.int32), (B, 1))  # the last entry is padding
WEIGHT = jnp.tile(jnp.array([1.0] * 3 + [0.0] * 2 + [1.0] * 3 + [0.0]), (B, 1))  # unit 1 is context
IDS = jnp.tile(jnp.arange(N, dtype=jnp.int32), (B, 1))


def batch(values) -> Interleaved:
    payload = Payload(values, slot=IDS, read=IDS, unit=UNIT, time=jnp.zeros((B, N)), weight=WEIGHT)
    return Interleaved({}, {"image": payload, "place": payload.replace(values=IDS + 100)})


def test_codes_and_places_of_a_learned_unit_are_shuffled_alike_and_nothing_else_moves():
    seq = batch(IDS)
    shown, target = jax.jit(RandomOrder("image", hints="place").corrupt)(jax.random.key(0), seq)
    ids, places = np.asarray(shown.streams["image"].values), np.asarray(shown.streams["place"].values)
    np.testing.assert_array_equal(ids, target)
    np.testing.assert_array_equal(places, ids + 100)
    np.testing.assert_array_equal(ids[:, [3, 4, 8]], np.tile([3, 4, 8], (B, 1)))
    for first in (0, 5):
        orders, counts = np.unique(ids[:, first : first + 3], axis=0, return_counts=True)
        assert len(orders) == 6 and (np.sort(orders, 1) == np.arange(first, first + 3)).all()
        assert scipy.stats.chisquare(counts).pvalue > 1e-3
    for field in ("slot", "read", "unit", "weight"):
        assert getattr(shown.streams["image"], field) is not None
        np.testing.assert_array_equal(getattr(shown.streams["image"], field), getattr(seq.streams["image"], field))


def test_rooms_that_differ_are_named():
    seq = batch(IDS)
    half = jax.tree.map(lambda x: x[:, :4], seq.streams["place"])
    with pytest.raises(ValueError, match="'place' needs as much room as 'image'; the layout has 4 and 9 entries"):
        RandomOrder("image", hints="place").corrupt(jax.random.key(0), Interleaved({}, {**seq.streams, "place": half}))


@pytest.mark.parametrize("prediction", ["velocity", "clean"])
def test_a_draft_lies_on_the_path_and_the_exact_answer_costs_nothing(prediction):
    path = Rectified(prediction)
    values = jax.random.normal(jax.random.key(1), (B, N, P))
    shown, target = jax.jit(TokenFlow("image", path=path).corrupt)(jax.random.key(0), batch(values))
    payload = shown.streams["image"]
    np.testing.assert_array_equal(payload.values, values)
    assert (payload.time == 0).all()
    time = np.asarray(payload.draft.time)
    assert len(np.unique(time)) > B * N * 0.99  # every entry has its own
    velocity = target if prediction == "velocity" else (payload.draft.values - values) / time[..., None]
    np.testing.assert_allclose(payload.draft.values, values + time[..., None] * velocity, atol=1e-4)
    sums = TokenFlow("image", path=path).loss(target, target, payload)
    assert sums.total == 0 and sums.count == WEIGHT.sum()
    off = TokenFlow("image", path=path).loss(target + 0.1, target, payload)
    expected = (0.01 * path.weight(payload.draft.time) * WEIGHT).sum()
    assert float(off.total) == pytest.approx(float(expected), rel=1e-3)
