"""pack: every entry lands once, is predicted from the right slot, and carries the right ids."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_jax.core.sequence import Interleaved, check, offsets
from unified_jax.data.pack import Layout, Stream, fill_rate, pack
from unified_jax.data.plan import Cursor, Span, count, skip

STREAMS = {"text": Stream("und"), "vit": Stream("und"), "vae": Stream("gen", (2,), np.float32)}
LAYOUT = Layout({"und": 60, "gen": 40}, {"text": 40, "vit": 30, "vae": 40})
START = offsets(LAYOUT.capacity)
FIELDS = ("doc", "block", "private")


def values(stream: str, n: int, first: int = 0) -> np.ndarray:
    """n entries of a stream, each different."""
    x = np.arange(first, first + n)
    return np.stack([x, -x], 1).astype(np.float32) if stream == "vae" else x.astype(np.int32)


def text(n: int, **options) -> Span:
    return Span((("text", values("text", n)),), **options)


def latents(n: int, **options) -> Span:
    return Span((("vae", values("vae", n)),), attend="full", **options)


@st.composite
def spans(draw) -> Span:
    attend = draw(st.sampled_from(["causal", "full"]))
    names = draw(st.lists(st.sampled_from(sorted(STREAMS)), min_size=1, max_size=2))
    parts = tuple((name, values(name, draw(st.integers(0, 3)), draw(st.integers(0, 99)))) for name in names)
    return Span(parts, attend, private=attend == "full" and draw(st.booleans()), learn=draw(st.booleans()))


documents = st.lists(spans(), min_size=1, max_size=4)
rows = st.lists(st.lists(documents, min_size=0, max_size=2), min_size=1, max_size=2)


def entries(seq: Interleaved, b: int, row: list[list[Span]]):
    """In reading order: (document, span, place in the span, stream, entry of the stream, flat slot)."""
    used = dict.fromkeys(STREAMS, 0)
    for number, document in enumerate(row, 1):
        for span in document:
            place = 0
            for name, part in span.parts:
                for _ in range(len(part)):
                    entry = used[name]
                    flat = START[STREAMS[name].lane] + int(seq.streams[name].slot[b, entry])
                    yield number, span, place, name, entry, flat
                    used[name], place = entry + 1, place + 1


@given(rows)
def test_every_entry_lands_exactly_once_in_order_and_the_rest_is_padding(batch):
    seq = check(pack(batch, STREAMS, LAYOUT))
    for b, row in enumerate(batch):
        for name, stream in STREAMS.items():
            given_ = [part for document in row for span in document for found, part in span.parts if found == name]
            given_ = np.concatenate([np.zeros((0, *stream.shape), stream.dtype), *given_])
            n, payload = len(given_), seq.streams[name]
            np.testing.assert_array_equal(payload.values[b, :n], given_)
            assert (payload.slot[b, :n] < LAYOUT.capacity[stream.lane]).all()
            assert (payload.slot[b, n:] == LAYOUT.capacity[stream.lane]).all()
            assert not payload.weight[b, n:].any()
        flat = [found[-1] for found in entries(seq, b, row)]
        assert len(set(flat)) == len(flat)
        joined = np.concatenate([seq.lanes[lane].doc[b] for lane in sorted(seq.lanes)])
        assert set(np.flatnonzero(joined)) == set(flat)


@given(rows)
def test_a_causal_entry_reads_its_predecessor_and_a_full_one_itself_across_streams(batch):
    seq = pack(batch, STREAMS, LAYOUT)
    for b, row in enumerate(batch):
        last = {}
        for document, span, _, name, entry, flat in entries(seq, b, row):
            read, weight = seq.streams[name].read[b, entry], seq.streams[name].weight[b, entry]
            if span.attend == "full":
                assert (read, weight) == (flat, span.learn)
            elif document in last:
                assert (read, weight) == (last[document], span.learn)
            else:
                assert (read, weight) == (flat, 0)  # the first of its document: nothing to predict it from
            if not span.private:
                last[document] = flat


@given(rows)
def test_ids_of_every_entry(batch):
    """Causal entries count block and index up; a full span is one block at one index, and no index when private."""
    seq = pack(batch, STREAMS, LAYOUT)
    joined = {field: np.concatenate([getattr(seq.lanes[x], field) for x in sorted(seq.lanes)], 1) for field in FIELDS}
    index = np.concatenate([seq.lanes[x].pos[..., 0] for x in sorted(seq.lanes)], 1)
    for b, row in enumerate(batch):
        expected = {}
        for number, document in enumerate(row, 1):
            block = position = 0
            for i, span in enumerate(document):
                full = span.attend == "full"
                for place in range(count([span])):
                    step = 0 if full else place
                    expected[number, i, place] = (number, block + step, span.private, position + step)
                block += 1 if full else count([span])
                position += (not span.private) if full else count([span])
        found = {}
        for number, span, place, _, _, flat in entries(seq, b, row):
            i = next(i for i, candidate in enumerate(row[number - 1]) if candidate is span)
            found[number, i, place] = (*(joined[field][b, flat] for field in FIELDS), index[b, flat])
        assert found == expected


def test_a_full_span_shares_one_index_with_its_delimiters_and_text_goes_on_at_the_next():
    """BAGEL, 2505.14683: start, picture and end form one block at one position."""
    picture = Span((("text", values("text", 1)), ("vae", values("vae", 3)), ("text", values("text", 1))), attend="full")
    seq = pack([[[text(2), picture, text(1)]]], STREAMS, LAYOUT)
    assert seq.lanes["und"].pos[0, :5, 0].tolist() == [0, 1, 2, 2, 3]
    assert seq.lanes["gen"].pos[0, :3, 0].tolist() == [2, 2, 2]
    assert seq.lanes["und"].block[0, :5].tolist() == [0, 1, 2, 2, 3]


def test_a_clean_copy_stands_where_the_noised_one_stood():
    seq = pack([[[text(2), latents(3, private=True), latents(3), text(1)]]], STREAMS, LAYOUT)
    assert seq.lanes["gen"].pos[0, :6, 0].tolist() == [2] * 6
    assert seq.lanes["gen"].block[0, :6].tolist() == [2, 2, 2, 3, 3, 3]
    assert seq.lanes["und"].pos[0, :3, 0].tolist() == [0, 1, 3]


def test_what_follows_a_private_copy_is_not_read_from_it():
    seq = pack([[[text(2), latents(3, private=True), text(2)]]], STREAMS, LAYOUT)
    assert (seq.streams["text"].read[0, :4] - START["und"]).tolist() == [0, 0, 1, 2]


def test_the_first_code_of_a_picture_is_read_from_the_text_before_it():
    """Janus: <boi> in the text stream predicts the first code."""
    codes = Span((("vit", values("vit", 3)),))
    seq = pack([[[text(2), codes, text(1)]]], STREAMS, LAYOUT)
    assert (seq.streams["vit"].read[0, :3] - START["und"]).tolist() == [1, 2, 3]
    assert seq.streams["text"].read[0, 2] - START["und"] == 4


def test_a_grid_gives_rows_and_columns_to_the_picture_and_none_to_its_delimiters():
    picture = Span((("text", values("text", 1)), ("vae", values("vae", 6))), attend="full", grid=(2, 3))
    seq = pack([[[text(1), picture]]], STREAMS, LAYOUT)
    assert seq.lanes["gen"].pos[0, :6, 1].tolist() == [0, 0, 0, 1, 1, 1]
    assert seq.lanes["gen"].pos[0, :6, 2].tolist() == [0, 1, 2, 0, 1, 2]
    assert not seq.lanes["und"].pos[0, :, 1:].any()


def test_units_of_a_stream_number_the_spans_of_a_row():
    seq = pack([[[latents(2, private=True), latents(2)], [text(1), latents(3)]]], STREAMS, LAYOUT)
    assert seq.streams["vae"].unit[0, :7].tolist() == [0, 0, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    "document, message",
    [
        ([text(41)], r"row 1 does not fit: stream 'text' has room for 40, needs at least 41"),
        ([text(35), Span((("vit", values("vit", 26)),))], r"row 1 .* lane 'und' has room for 60, needs at least 61"),
    ],
)
def test_a_row_that_does_not_fit_is_named_with_what_is_too_small(document, message):
    with pytest.raises(ValueError, match=message):
        pack([[[text(1)]], [document]], STREAMS, LAYOUT)


def test_a_layout_without_room_for_a_stream_says_so():
    with pytest.raises(ValueError, match=r"no room for stream 'vae'.*\['text'\]"):
        Layout({"und": 4}, {"text": 4}).need([latents(1)], STREAMS)


@given(rows)
def test_fill_rates_are_the_used_fractions_though_lanes_differ_in_capacity(batch):
    rates = fill_rate(pack(batch, STREAMS, LAYOUT), STREAMS)
    n = {name: 0 for name in STREAMS}
    for row in batch:
        for document in row:
            for span in document:
                for name, part in span.parts:
                    n[name] += len(part)
    expected = {f"stream/{name}": n[name] / (len(batch) * LAYOUT.room[name]) for name in STREAMS}
    expected["lane/und"] = (n["text"] + n["vit"]) / (len(batch) * 60)
    expected["lane/gen"] = n["vae"] / (len(batch) * 40)
    assert rates == pytest.approx(expected)


def test_a_room_of_no_entries_counts_as_full():
    seq = pack([[[text(1)]]], STREAMS, Layout({"und": 2, "gen": 1}, {"text": 2, "vae": 0}))
    assert fill_rate(seq, STREAMS) == {"lane/und": 0.5, "lane/gen": 0, "stream/text": 0.5, "stream/vae": 1}


def ids(seq: Interleaved, b: int) -> list[tuple]:
    """(block, private, pos) of every written slot of every lane."""
    return [
        [
            (int(slots.block[b, t]), bool(slots.private[b, t]), *slots.pos[b, t].tolist())
            for t in np.flatnonzero(slots.doc[b])
        ]
        for _, slots in sorted(seq.lanes.items())
    ]


@given(documents, st.data())
def test_a_document_packed_piece_by_piece_has_the_ids_it_has_whole(document, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(document)), max_size=3)))
    cursor, found = Cursor(), [[], []]
    for start, end in zip([0, *cuts], [*cuts, len(document)]):
        piece = pack([[document[start:end]]], STREAMS, LAYOUT, cursors=[cursor])
        found = [old + new for old, new in zip(found, ids(piece, 0))]
    assert found == ids(pack([[document]], STREAMS, LAYOUT), 0)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data())
def test_a_document_may_be_cut_inside_a_causal_span(sizes, data):
    document = [text(n) if i % 2 == 0 else latents(n) for i, n in enumerate(sizes)]
    inside = data.draw(st.integers(0, sizes[0]))
    cursor, rest = skip(document, inside)
    tail = pack([[rest]], STREAMS, LAYOUT, cursors=[cursor])
    head = pack([[[text(inside)]]], STREAMS, LAYOUT)
    whole = pack([[document]], STREAMS, LAYOUT)
    assert [a + b for a, b in zip(ids(head, 0), ids(tail, 0))] == ids(whole, 0)


def test_a_full_span_cannot_be_cut():
    with pytest.raises(ValueError, match="full span of 3 entries cannot be cut after 2"):
        skip([latents(3)], 2)


def test_the_first_entry_of_a_later_piece_reads_itself_and_never_a_slot_of_an_earlier_piece():
    cursor, one = Cursor(), Layout({"und": 1, "gen": 1}, {"text": 1})
    pack([[[text(5)]]], STREAMS, LAYOUT, cursors=[cursor])
    piece = pack([[[text(1)]]], STREAMS, one, cursors=[cursor])
    assert piece.streams["text"].read.tolist() == [[START_OF_ONE]]
    assert piece.streams["text"].weight.tolist() == [[0]]
    assert piece.lanes["und"].pos[0, 0, 0] == 5


START_OF_ONE = offsets({"und": 1, "gen": 1})["und"]


def test_packing_is_pure_numpy():
    seq = pack([[[text(2), latents(2)]]], STREAMS, LAYOUT)
    assert all(isinstance(x, np.ndarray) for x in jax.tree.leaves(seq))
