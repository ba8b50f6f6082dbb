"""The loader: no document lost or repeated, resumable to the exact document, shares that partition the source."""

import json
import logging

import jax
import numpy as np
import pytest

from unified_jax.data.document import Document, Image, Text
from unified_jax.data.loader import Batches, Packing
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.train.experiment import Experiment

STREAMS = {"text": Stream("und"), "image": Stream("gen")}
LAYOUTS = (
    Layout({"und": 24, "gen": 24}, {"text": 24, "image": 24}),
    Layout({"und": 40, "gen": 8}, {"text": 40, "image": 8}),
)
NULL = 1  # the mark of a document that lost its condition


class Numbers:
    """Document i carries its index in every entry; lengths vary, every third has a picture to draw."""

    def __init__(self, length=100_000, overlong=()):
        self.length, self.overlong = length, overlong

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        parts = [Text(str(index))]
        if index % 3 == 0:
            parts.append(Image(target=True, values=np.zeros(1 + index % 7)))
        else:
            parts.append(Text("answer", target=True))
        return Document(parts, {"index": index, "long": index in self.overlong})


def plan(documents):
    """Text entries hold 10 * index + whether the condition is there; pictures hold 10 * index."""
    plans = []
    for document in documents:
        index = document.info["index"]
        marked = 10 * index + (NULL if document.info.get("null") else 0)
        n = 500 if document.info["long"] else 2 + index % 6
        spans = [Span((("text", np.full(n, marked, np.int32)),))]
        if index % 3 == 0:
            spans.append(Span((("image", np.full(len(document[1].values), 10 * index, np.int32)),), attend="full"))
        plans.append(spans)
    return plans


def packing(**options) -> Packing:
    null = lambda document: Document(document.parts, {**document.info, "null": True})
    return Packing(**{"plan": plan, "streams": STREAMS, "layouts": LAYOUTS, "rows": 2, "null": null, **options})


def batches(n, source=None, start=0, step=1, **options):
    iterator = iter(Batches(source or Numbers(), packing(**options), start=start, step=step))
    return iterator, [next(iterator) for _ in range(n)]


def indices(batch) -> list[int]:
    """Which documents a batch holds, one for each (row, document)."""
    slots, text = batch.lanes["und"], batch.streams["text"]
    found = []
    for b in range(len(text.slot)):
        used = text.slot[b] < slots.doc.shape[1]
        documents = slots.doc[b, text.slot[b, used]]
        found += [int(text.values[b, used][documents == d][0]) // 10 for d in np.unique(documents)]
    return found


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("layouts", [LAYOUTS, LAYOUTS[:1]], ids=["two layouts", "one layout"])
def test_no_document_is_lost_or_repeated_over_many_batches(layouts):
    iterator, made = batches(60, layouts=layouts)
    seen = [index for batch in made for index in indices(batch)]
    assert len(set(seen)) == len(seen)
    state = iterator.get_state()
    assert sorted(seen + state["held"]) == list(range(state["next"]))


def test_documents_wait_only_a_few_batches():
    iterator, made = batches(60)
    assert min(iterator.get_state()["held"]) > 0.8 * max(max(indices(batch)) for batch in made)


def test_every_entry_of_a_document_arrives():
    _, made = batches(20)
    for batch in made:
        for b in range(2):
            for name in STREAMS:
                payload, slots = batch.streams[name], batch.lanes[STREAMS[name].lane]
                used = payload.slot[b] < slots.doc.shape[1]
                found, counts = np.unique(payload.values[b, used] // 10, return_counts=True)
                for index, n in zip(found, counts):
                    assert n == (2 + index % 6 if name == "text" else 1 + index % 7)


def test_batches_are_mostly_full_and_both_layouts_are_used():
    _, made = batches(60)
    rates = [np.mean(np.concatenate([slots.doc > 0 for slots in batch.lanes.values()], 1)) for batch in made]
    assert np.mean(rates) > 0.8
    assert {batch.lanes["und"].capacity for batch in made} == {24, 40}


@pytest.mark.parametrize("taken", [0, 1, 7, 20])
def test_a_restored_iterator_goes_on_identically(taken):
    options = dict(null_rate=0.5, rows=4)
    iterator, _ = batches(taken, **options)
    state = json.loads(json.dumps(iterator.get_state()))  # as a checkpoint keeps it
    expected = [next(iterator) for _ in range(4)]
    fresh, _ = batches(0, **options)
    fresh.set_state(state)
    assert fresh.get_state() == state
    for batch in expected:
        assert_same(next(fresh), batch)


def test_reading_the_state_changes_nothing():
    _, expected = batches(6)
    iterator, _ = batches(0)
    for batch in expected:
        iterator.get_state()
        assert_same(next(iterator), batch)


def test_the_shares_of_the_processes_partition_the_documents():
    shares = []
    for process in range(3):
        iterator, made = batches(8, start=process, step=3, rows=4)  # so many rows that several are read at once
        seen = [index for batch in made for index in indices(batch)] + iterator.get_state()["held"]
        assert all(index % 3 == process for index in seen)
        assert sorted(seen) == list(range(process, iterator.get_state()["next"], 3))
        shares.append(set(seen))
    assert not shares[0] & shares[1] and not shares[1] & shares[2] and not shares[0] & shares[2]


def test_a_short_source_is_read_again_from_its_beginning():
    _, made = batches(12, source=Numbers(length=10))
    seen = [index for batch in made for index in indices(batch)]
    counts = np.bincount(seen, minlength=10)
    assert counts.min() >= 2 and len(counts) == 10


def nulled(batch) -> dict[int, bool]:
    text, capacity = batch.streams["text"], batch.lanes["und"].doc.shape[1]
    return {int(v) // 10: bool(int(v) % 10) for v in text.values[text.slot < capacity]}


def test_the_null_rate_is_met_by_documents_with_a_picture_to_draw_and_by_no_others():
    flags = {}
    for batch in batches(150, null_rate=0.3)[1]:
        flags |= nulled(batch)
    drawn = [flag for index, flag in flags.items() if index % 3 == 0]
    assert len(drawn) > 300
    assert abs(np.mean(drawn) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / len(drawn))
    assert not any(flag for index, flag in flags.items() if index % 3)


def test_which_documents_are_nulled_depends_on_seed_and_index_alone():
    all_at_once, one_by_one = packing(null_rate=0.5), packing(null_rate=0.5)
    together = all_at_once.spans(Numbers(), range(60))
    apart = [one_by_one.spans(Numbers(), [index])[0] for index in reversed(range(60))][::-1]
    first = lambda plans: [int(spans[0].parts[0][1][0]) for spans in plans]
    assert first(together) == first(apart)
    assert first(together) != first(packing(null_rate=0.5, seed=1).spans(Numbers(), range(60)))


def test_a_document_seen_again_in_the_next_epoch_draws_anew():
    source, parts = Numbers(length=30), packing(null_rate=0.5)
    first = lambda plans: [int(spans[0].parts[0][1][0]) for spans in plans]
    assert first(parts.spans(source, range(30))) != first(parts.spans(source, range(30, 60)))


def test_an_overlong_document_is_left_out_with_a_warning_and_the_others_go_on(caplog):
    with caplog.at_level(logging.WARNING, logger="absl"):
        iterator, made = batches(20, source=Numbers(overlong=(4, 9)))
    seen = [index for batch in made for index in indices(batch)] + iterator.get_state()["held"]
    assert sorted([*seen, 4, 9]) == list(range(iterator.get_state()["next"]))
    messages = [record.getMessage() for record in caplog.records]
    assert sum("document 4 needs 506 slots" in m or "document 4 needs 500 slots" in m for m in messages) == 1
    assert sum("document 9" in message for message in messages) == 1


def test_a_document_that_fits_one_layout_only_is_used_all_the_same():
    """Nine entries of picture fit the first layout alone, thirty of text the second alone."""

    class Two(Numbers):
        def __getitem__(self, index):
            return Document([Text("x"), Text("y", target=True)], {"index": index})

    def tall(documents):
        sizes = [("image", 9) if document.info["index"] % 2 else ("text", 30) for document in documents]
        number = lambda document, n: np.full(n, 10 * document.info["index"], np.int32)
        return [
            [Span((("text", number(d, 1)),)), Span(((name, number(d, n)),))] for d, (name, n) in zip(documents, sizes)
        ]

    iterator, made = batches(30, source=Two(), plan=tall)
    seen = [index for batch in made for index in indices(batch)] + iterator.get_state()["held"]
    assert sorted(seen) == list(range(iterator.get_state()["next"]))
    assert {index % 2 for batch in made for index in indices(batch)} == {0, 1}


@pytest.mark.parametrize("config", ["configs/demo.py", "configs/emoji/transfusion.py"])
def test_every_task_that_draws_loses_its_condition_at_the_null_rate(config):
    """Whatever a source does with its own random numbers: sharing a seed with one once starved some tasks."""
    experiment = Experiment.load(config)
    source, rate, n = experiment.data(), experiment.config.packing.null_rate, 3000
    lost: dict[str, list[bool]] = {}

    def plan(documents):
        for document in documents:
            lost.setdefault(document.info["task"], []).append(bool(document.info.get("null")))
        return [[] for _ in documents]

    packing(plan=plan, null_rate=rate, seed=experiment.config.seed).spans(source, range(n))
    for task, found in lost.items():
        expected = rate if task in ("draw", "edit") else 0.0
        assert abs(np.mean(found) - expected) <= 4 * np.sqrt(expected * (1 - expected) / len(found)), task
