"""Script: what a document looks like as spans: delimiters, what is learned, where a blank ends the plan."""

import numpy as np
import pytest

from unified_jax.data.document import Document, Image, Text
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models import script

RED = np.zeros((2, 2, 3), np.float32)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["a red circle what colour is it"], 300)


def picture(image, final):
    values = np.zeros((4, 3), np.float32)
    blank = image.values is None
    learn = image.target and not blank
    return [Span((("image", values),), attend="full", learn=learn, fill="image" if blank else None)]


def spelled(tokenizer, *parts) -> list[tuple[str, bool, str | None]]:
    """[(words, learned, fill)]: special tokens by name, text as it is, a picture as *."""
    names = {id: name for name, id in tokenizer.special.items()}
    written = []
    for span in script.write(Document(parts), tokenizer=tokenizer, picture=picture):
        ((stream, values),) = span.parts
        words = "*"
        if stream == "text":
            words = " ".join(names.get(int(i)) or tokenizer.decode([i]) for i in values)
        written.append((words, span.learn, span.fill))
    return written


def test_a_caption(tokenizer):
    assert spelled(tokenizer, Image(values=RED), Text("red", target=True)) == [
        ("<bos> <boi>", False, None),
        ("*", False, None),
        ("<eoi> <turn>", False, None),
        ("red <eos>", True, None),
    ]


def test_a_drawing_ends_with_the_picture(tokenizer):
    assert spelled(tokenizer, Text("red"), Image(values=RED, target=True)) == [
        ("<bos> red <turn>", False, None),
        ("<boi>", True, None),
        ("*", True, None),
    ]


def test_a_picture_that_is_followed_is_closed(tokenizer):
    written = spelled(tokenizer, Text("red"), Image(values=RED, target=True), Text("red", target=True))
    assert [words for words, *_ in written] == ["<bos> red <turn>", "<boi>", "*", "<eoi>", "red <eos>"]
    assert [learned for _, learned, _ in written] == [False, True, True, False, True]


def test_every_answer_of_a_dialogue_has_its_turn(tokenizer):
    parts = Text("red"), Text("it", target=True), Text("circle"), Text("is", target=True)
    written = spelled(tokenizer, *parts)
    assert " ".join(words for words, *_ in written).split().count("<turn>") == 2
    assert [words for words, learned, _ in written if learned] == ["it <eos>", "is <eos>"]


def test_the_plan_ends_at_the_first_blank(tokenizer):
    assert spelled(tokenizer, Image(values=RED), Text(target=True))[-1][1:] == (True, "text")
    written = spelled(tokenizer, Text("red"), Image(target=True), Text(target=True))
    assert written[-1] == ("*", False, "image") and len(written) == 3


def test_the_names_of_special_tokens_in_a_text_stay_text(tokenizer):
    written = spelled(tokenizer, Text("a <eos> b"), Text("red", target=True))
    assert written[0][0].split().count("<eos>") == 0


def test_an_answer_of_several_parts_learns_when_to_draw_and_when_to_end(tokenizer):
    red = Image(values=RED, target=True)
    written = spelled(tokenizer, Text("what"), Text("red", target=True), red, Text("it", target=True))
    assert [words for words, *_ in written] == ["<bos> what <turn>", "red <boi>", "*", "<eoi>", "it <eos>"]
    assert [learned for _, learned, _ in written] == [False, True, True, False, True]
    written = spelled(tokenizer, Text("what"), red, red)
    assert [words for words, *_ in written] == [
        "<bos> what <turn>",
        "<boi>",
        "*",
        "<eoi>",
        "<boi>",
        "*",
        "<eoi>",
        "<eos>",
    ]
    assert [learned for _, learned, _ in written] == [False, True, True, False, True, True, False, True]


def test_texts_of_one_answer_that_touch_are_kept_apart(tokenizer):
    written = spelled(tokenizer, Text("what"), Text("red", target=True), Text("it", target=True))
    assert written[-1][0] == "red <eos> it <eos>"


def test_a_drawing_before_a_given_part_is_a_whole_answer_that_ends(tokenizer):
    written = spelled(tokenizer, Text("red"), Image(values=RED, target=True), Text("what"), Text("it", target=True))
    assert [words for words, *_ in written][3:] == ["<eoi>", "<eos>", "what <turn>", "it <eos>"]
