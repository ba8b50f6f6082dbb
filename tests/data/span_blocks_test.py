"""Spans of several blocks, and of many parts: where their entries stand, what each sees, and which unit they are."""

import numpy as np

from unified_jax.core.mask import visible
from unified_jax.data.pack import Layout, Stream, pack
from unified_jax.data.plan import Cursor, Span, skip

STREAMS = {"text": Stream("main"), "image": Stream("main"), "place": Stream("main")}
LAYOUT = Layout({"main": 12}, {"text": 4, "image": 8, "place": 4})
WORDS = Span((("text", np.array([7, 8])),))
SCALES = Span((("image", np.arange(5)),), attend="full", blocks=(1, 4))


def packed(*spans: Span):
    return pack([[list(spans)]], STREAMS, LAYOUT)


def test_each_block_sees_itself_and_the_ones_before_it():
    seq = packed(WORDS, SCALES, Span((("text", np.array([9])),)))
    slots = seq.lanes["main"]
    np.testing.assert_array_equal(slots.block[0, :8], [0, 1, 2, 3, 3, 3, 3, 4])
    np.testing.assert_array_equal(slots.pos[0, :8, 0], [0, 1, 2, 3, 3, 3, 3, 4])
    np.testing.assert_array_equal(slots.pos[0, 2:7, 1:], [[0, 0], [0, 0], [0, 1], [1, 0], [1, 1]])
    sees = visible(slots, slots)[0]
    assert sees[2, :3].all() and not sees[2, 3:].any()  # the first scale: the text and itself
    assert sees[3, :7].all() and not sees[3, 7:].any()  # the second: all of both
    image = seq.streams["image"]
    np.testing.assert_array_equal(image.read[0, :5], image.slot[0, :5])
    assert (image.weight[0, :5] == 1).all() and (image.unit[0, :5] == 0).all()


def test_a_document_goes_on_behind_all_blocks():
    cursor, rest = skip([WORDS, SCALES], 7)
    assert (cursor.block, cursor.index, rest) == (4, 4, [])
    cursor = Cursor()
    pack([[[WORDS, SCALES]]], STREAMS, LAYOUT, cursors=[cursor])
    assert (cursor.block, cursor.index) == (4, 4)


def test_parts_in_turn_are_read_from_each_other_and_are_one_unit_of_each_stream():
    pairs = tuple(part for i in (3, 1) for part in (("place", np.array([i])), ("image", np.array([10 + i]))))
    seq = packed(WORDS, Span(pairs), Span((("image", np.array([5])),)))
    image, place = seq.streams["image"], seq.streams["place"]
    np.testing.assert_array_equal(place.slot[0, :2], [2, 4])
    np.testing.assert_array_equal(image.slot[0, :3], [3, 5, 6])
    np.testing.assert_array_equal(image.read[0, :2], place.slot[0, :2])
    np.testing.assert_array_equal(image.unit[0, :3], [0, 0, 1])
    np.testing.assert_array_equal(place.unit[0, :2], [0, 0])
    np.testing.assert_array_equal(seq.lanes["main"].block[0, :7], np.arange(7))


def test_a_picture_at_one_index_sees_like_words_and_what_follows_stands_behind_its_extent():
    picture = Span((("image", np.arange(6)),), grid=(2, 3), extent=3)
    cursor, rest = skip([WORDS, picture], 8)
    assert (cursor.block, cursor.index, rest) == (8, 5, [])
    slots = packed(WORDS, picture, WORDS).lanes["main"]
    np.testing.assert_array_equal(slots.block[0, :10], np.arange(10))
    np.testing.assert_array_equal(slots.pos[0, :10, 0], [0, 1, 2, 2, 2, 2, 2, 2, 5, 6])
    np.testing.assert_array_equal(slots.pos[0, 2:8, 1:], np.indices((2, 3)).reshape(2, 6).T)
