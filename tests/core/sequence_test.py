"""Lanes and streams: joining, splitting, replacing, and the shape check."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.sequence import Interleaved, Payload, Slots, check, join, offsets, split


def lane(capacity: int, batch: int = 2) -> Slots:
    ids = jnp.arange(batch * capacity, dtype=jnp.int32).reshape(batch, capacity)
    return Slots(doc=ids, block=ids + 1, private=ids % 2 == 0, pos=jnp.stack([ids, ids, ids], -1))


def stream(n: int, batch: int = 2) -> Payload:
    ids = jnp.zeros((batch, n), jnp.int32)
    return Payload(values=ids, slot=ids, read=ids, unit=ids, time=ids.astype(float), weight=ids.astype(float))


capacities = pytest.mark.parametrize("capacity", [{"main": 3}, {"und": 2, "gen": 3}, {"z": 1, "a": 4, "und": 2}])


@capacities
def test_split_undoes_join(capacity):
    xs = {name: np.random.default_rng(n).normal(size=(2, n, 3)) for name, n in capacity.items()}
    xs = {name: jnp.asarray(x) for name, x in xs.items()}
    back = split(join(xs), capacity)
    assert set(back) == set(xs)
    for name, x in xs.items():
        np.testing.assert_array_equal(back[name], x)


@capacities
def test_offsets_say_where_each_lane_begins_in_the_joined_row(capacity):
    xs = {name: jnp.full((1, n), i) for i, (name, n) in enumerate(capacity.items())}
    joined, start = join(xs)[0], offsets(capacity)
    for name, x in xs.items():
        np.testing.assert_array_equal(joined[start[name] : start[name] + capacity[name]], x[0])


def test_lanes_join_in_name_order_whatever_the_order_of_the_dict():
    gen, und = lane(2), lane(3)
    for lanes in ({"gen": gen, "und": und}, {"und": und, "gen": gen}):
        assert join(lanes).doc.tolist() == [[0, 1, 0, 1, 2], [2, 3, 3, 4, 5]]
        assert join(lanes).pos.shape == (2, 5, 3)


def test_put_replaces_only_the_named_fields_of_the_named_stream():
    seq = Interleaved({"main": lane(4)}, {"text": stream(3), "image": stream(2)})
    changed = seq.put("text", weight=jnp.ones((2, 3)))
    assert changed.streams["text"].weight.all() and not seq.streams["text"].weight.any()
    assert changed.streams["text"].values is seq.streams["text"].values
    assert changed.streams["image"] is seq.streams["image"]


def test_check_returns_a_consistent_batch_unchanged():
    seq = Interleaved({"main": lane(4)}, {"text": stream(3)})
    assert check(seq) is seq


@pytest.mark.parametrize("field", ["block", "private", "pos"])
def test_check_names_the_lane_and_field_that_does_not_fit(field):
    broken = dataclasses.replace(lane(4), **{field: getattr(lane(5), field)})
    with pytest.raises(ValueError, match=rf"lane 'main': {field}"):
        check(Interleaved({"main": broken}, {}))


@pytest.mark.parametrize("field", ["read", "unit", "time", "weight", "values"])
def test_check_names_the_stream_and_field_that_does_not_fit(field):
    broken = dataclasses.replace(stream(4), **{field: getattr(stream(5), field)})
    with pytest.raises(ValueError, match=rf"stream 'text': {field}"):
        check(Interleaved({"main": lane(4)}, {"text": broken}))


def test_check_rejects_batches_of_different_size():
    with pytest.raises(ValueError, match="one batch size"):
        check(Interleaved({"main": lane(4, batch=2)}, {"text": stream(4, batch=3)}))


def test_a_batch_may_hold_shapes_and_specs_instead_of_arrays():
    seq = Interleaved({"main": lane(4)}, {"text": stream(3)})
    names = jax.tree.map(lambda x: "spec", seq)
    assert names.lanes["main"].doc == names.streams["text"].values == "spec"
    assert jax.eval_shape(lambda x: x, seq).streams["text"].values.shape == (2, 3)
