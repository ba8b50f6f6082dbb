"""Constrained vocabularies: what may follow depends on the position inside the blank, as data."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.data.document import Image, Text
from unified_jax.models.chameleon import chameleon
from unified_jax.models.pretrained import parameters
from unified_jax.sampling.constrain import may_follow, raster, table
from unified_jax.sampling.engine import Engine
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.requests import Request

CODES, ROW, FRAME, END = (10, 20), 5, 6, 7


def test_the_raster_is_rows_of_codes_between_forced_ids():
    ranges = raster(2, 3, codes=CODES, end_of_row=ROW, tail=(FRAME, END))
    row = [CODES, CODES, CODES, (ROW, ROW + 1)]
    assert list(ranges) == [*row, *row, (FRAME, FRAME + 1), (END, END + 1)]
    assert len(ranges) == 2 * (3 + 1) + 2


def test_rows_with_different_fills_at_different_positions_are_masked_each_by_its_own():
    ranges = table([(0, 4), raster(1, 1, codes=(4, 6), end_of_row=2)])
    fill, at = jnp.array([0, 0, 1, 1, 1]), jnp.array([0, 99, 0, 1, 99])
    allowed = [set(np.flatnonzero(row).tolist()) for row in may_follow(ranges, fill, at, vocab=8)]
    assert allowed == [{0, 1, 2, 3}, {0, 1, 2, 3}, {4, 5}, {2}, {2}]


def test_a_range_that_wraps_leaves_out_what_lies_between():
    allowed = may_follow(table([(5, 2), (2, 5)]), jnp.array([0, 1]), jnp.array([3, 3]), vocab=7)
    assert [np.flatnonzero(row).tolist() for row in allowed] == [[0, 1, 5, 6], [2, 3, 4]]


def test_pictures_with_forced_row_ends_and_texts_are_written_side_by_side(tokenizer):
    codec = dict(patch=2, width=8, multipliers=(1, 2), depth=1, code=dict(kind="nearest", size=24, width=4))
    model = chameleon(tokenizer, width=16, depth=1, num_heads=2, hidden=16, codec=codec, image_size=(8, 12))
    params, special, first = parameters(model, jax.random.key(0)), tokenizer.special, tokenizer.vocab
    codes = (first, first + 24)
    ranges = raster(2, 3, codes=codes, end_of_row=special["<pad>"], tail=(special["<turn>"], special["<eoi>"]))
    written = []

    def values_of(ids):
        written.append(ids)
        return (ids[:8].reshape(2, 4)[:, :3] - first).astype(np.int32)

    fills = {**model.family.fills, "image": dataclasses.replace(model.family.fills["image"], allowed=ranges, length=10)}
    model = model.clone(family=dataclasses.replace(model.family, fills=fills, values_of=values_of))
    documents = [
        [Text("red"), Image(target=True)],
        [Text("red"), Text(target=True)],
        [Text("blue"), Image(target=True)],
    ]
    settings = [Settings(), Settings(temperature=5.0, max_tokens=20), Settings(guidance_scale=3.0)]
    asked = [Request(d, jax.random.key(i), s) for i, (d, s) in enumerate(zip(documents, settings))]
    made = Engine(model, params, rows=4, capacity=64).generate(asked)
    assert len(written) == 2
    for ids in written:
        rows = ids[:8].reshape(2, 4)
        assert (rows[:, 3] == special["<pad>"]).all() and ids[8:].tolist() == [special["<turn>"], special["<eoi>"]]
        assert (rows[:, :3] >= codes[0]).all() and (rows[:, :3] < codes[1]).all()
    assert len(made[1][1].values) > 3 and made[1][1].values.max() < first
