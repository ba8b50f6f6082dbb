"""The guard: bad records are counted once, named, replaced the same way in any order, and limited."""

import concurrent.futures
import io
import logging
import math
import pickle
import threading

import grain
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_jax.data.document import BadRecord, Document, Image, Text
from unified_jax.data.guard import Guard, TooManyBadRecords


class Numbers:
    """Documents "0", "1", ...; ``bad`` maps an index to the exception it raises or the document it gives instead."""

    def __init__(self, length, bad):
        self.length, self.bad, self.reads = length, bad, []

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.reads.append(index)
        found = self.bad.get(index, Document([Text(str(index))]))
        if isinstance(found, Exception):
            raise found
        return found

    def __repr__(self):
        return "Numbers"


def _numbers(length, bad=()):
    return Numbers(length, {index: BadRecord("torn") for index in bad})


def _text(document):
    return document[0].text


def _truncated_png():
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(buffer, "png")
    return buffer.getvalue()[:1000]


def _pillow_error(data):
    try:
        PIL.Image.open(io.BytesIO(data)).load()
    except Exception as error:
        return error
    raise AssertionError("the picture was expected to be broken")


@given(length=st.integers(1, 60), data=st.data())
def test_any_order_of_reading_gives_the_same_good_documents(length, data):
    bad = data.draw(st.sets(st.integers(0, length - 1), max_size=length - 1))
    order = data.draw(st.permutations(range(length)))
    source = _numbers(length, bad)
    forward, shuffled = Guard(source, limit=length), Guard(source, limit=length)
    wanted = [_text(forward[index]) for index in range(length)]
    assert {index: _text(shuffled[index]) for index in order} == dict(enumerate(wanted))
    assert not set(wanted) & {str(index) for index in bad}
    assert all(wanted[index] == str(index) for index in range(length) if index not in bad)
    assert set(forward.bad) == set(shuffled.bad) == bad


def test_a_bad_stretch_is_replaced_by_many_records():
    guard = Guard(_numbers(100, range(40, 60)), limit=20)
    assert len({_text(guard[index]) for index in range(40, 60)}) > 10


def test_a_bad_record_is_counted_read_and_logged_once(caplog):
    source = _numbers(10, [3])
    guard = Guard(source, limit=1)
    with caplog.at_level(logging.WARNING, logger="unified_jax"):
        assert len({_text(guard[3]) for _ in range(5)}) == 1
    assert [record.getMessage() for record in caplog.records] == ["skipped bad record 3: torn (1 of at most 1)"]
    assert guard.bad == {3: "torn"} and source.reads.count(3) == 1


@pytest.mark.parametrize("limit", [0, 1, 4])
def test_one_more_than_the_limit_is_too_many(limit):
    guard = Guard(_numbers(50, range(0, 2 * limit + 2, 2)), limit=limit)
    for index in range(0, 2 * limit, 2):
        guard[index]
    with pytest.raises(
        TooManyBadRecords, match=f"more than {limit} bad records in Numbers; .*record {2 * limit}, torn"
    ):
        guard[2 * limit]
    with pytest.raises(TooManyBadRecords):  # and it stays so: a retry must not slip past
        guard[2 * limit]
    assert _text(guard[1]) == "1"


def test_nothing_but_bad_records_ends():
    with pytest.raises(TooManyBadRecords, match="all 7 records"):
        Guard(_numbers(7, range(7)), limit=100)[2]


@pytest.mark.parametrize(
    "found",
    [
        _pillow_error(_truncated_png()),
        _pillow_error(_truncated_png()[:40]),
        _pillow_error(b"not a picture"),
        OSError("image file is truncated (5 bytes not processed)"),
        PIL.Image.DecompressionBombError("too large"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        Document([]),
        Document([Text("  ")]),
        Document([Image(np.zeros((8, 8), np.uint8)), Text("grey")]),
        Document([Image(np.zeros((8, 0, 3), np.uint8)), Text("empty")]),
        Document([Image(np.zeros((8, 8, 3), np.float32)), Text("float")]),
    ],
    ids=lambda found: type(found).__name__,
)
def test_what_counts_as_bad(found):
    guard = Guard(Numbers(5, {2: found}), limit=1)
    assert _text(guard[2]) != "2" and guard.bad[2]


@pytest.mark.parametrize("error", [FileNotFoundError("gone"), OSError("disk"), KeyError("x"), ValueError()])
def test_other_errors_are_not_the_records_fault(error):
    guard = Guard(Numbers(5, {2: error}), limit=5)
    with pytest.raises(type(error)):
        guard[2]
    assert not guard.bad


def test_a_stricter_check():
    def short(document):
        if len(_text(document)) > 1:
            raise BadRecord("too long")
        return document

    assert len(_text(Guard(_numbers(20), limit=20, check=short)[15])) == 1


def test_threads_that_meet_at_a_bad_record_count_it_once(caplog):
    class Meeting(Numbers):
        meeting = threading.Barrier(8)

        def __getitem__(self, index):
            if index in self.bad:
                self.meeting.wait(timeout=5)
            return super().__getitem__(index)

    guard = Guard(Meeting(20, {6: BadRecord("torn")}), limit=1)
    with (
        caplog.at_level(logging.WARNING, logger="unified_jax"),
        concurrent.futures.ThreadPoolExecutor(8) as pool,
    ):
        documents = list(pool.map(guard.__getitem__, [6] * 8))
    assert len(set(map(_text, documents))) == len(guard.bad) == len(caplog.records) == 1


def test_grain_resumes_exactly():
    dataset = grain.MapDataset.source(Guard(_numbers(30, [4, 11, 12]), limit=3)).shuffle(seed=0).to_iter_dataset()
    iterator = iter(dataset)
    for _ in range(9):
        next(iterator)
    state = iterator.get_state()
    rest = [_text(document) for document in iterator]
    resumed = iter(dataset)
    resumed.set_state(state)
    assert [_text(document) for document in resumed] == rest and len(rest) == 21


def test_pickles_for_worker_processes():
    guard = pickle.loads(pickle.dumps(Guard(_numbers(9, [1]), limit=1)))
    assert _text(guard[1]) != "1"


@given(st.integers(1, 5000))
def test_the_probe_sequence_visits_every_record(length):
    stride = Guard(_numbers(length), limit=0)._stride
    assert math.gcd(stride, length) == 1 and stride >= 1


@pytest.mark.parametrize("index", [-1, 3])
def test_out_of_range(index):
    with pytest.raises(IndexError, match="3 documents"):
        Guard(_numbers(3), limit=0)[index]


def test_negative_limit():
    with pytest.raises(ValueError, match="must not be negative"):
        Guard(_numbers(3), limit=-1)
