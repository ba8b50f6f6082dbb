"""The tokenizer: nothing is unrepresentable, special names in text are text, files come back the same."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unified_jax.data.tokenizer import SPECIAL, Tokenizer

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
with_specials = st.lists(st.one_of(anything, st.sampled_from(SPECIAL)), max_size=4).map("".join)


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    return Tokenizer.train(["a red circle on a blue square", "how many circles?"] * 3, vocab=320)


@given(with_specials)
@example("  naïve 日本語 🙂\n\tx  ")
@example("\x00\u200b")
@example("<bos> draw <eos>")
def test_any_text_comes_back_but_for_outer_whitespace(trained, text):
    assert trained.decode(trained.encode(text)) == text.strip()


@given(with_specials)
def test_no_text_encodes_to_a_special_token(trained, text):
    assert not set(trained.encode(text).tolist()) & set(trained.special.values())


@given(with_specials)
def test_ids_lie_inside_the_vocabulary(trained, text):
    ids = trained.encode(text)
    assert ids.dtype == np.int32 and ids.ndim == 1
    assert not len(ids) or (0 <= ids.min() and ids.max() < trained.vocab)


def test_special_tokens_are_left_out_of_decoded_text(trained):
    ids = [trained.special["<bos>"], *trained.encode("red"), trained.special["<eos>"], trained.special["<pad>"]]
    assert trained.decode(ids) == "red"


def test_special_tokens_have_different_ids(trained):
    assert len(set(trained.special.values())) == len(SPECIAL)


@pytest.mark.parametrize("ids", [[], [200], [250, 251]])
def test_malformed_bytes_decode_to_text(trained, ids):
    assert isinstance(trained.decode(ids), str)


def test_merges_are_learned(trained):
    assert len(trained.encode("a red circle")) < len("a red circle")


def test_a_saved_tokenizer_is_the_same_one(trained, tmp_path):
    trained.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.special == trained.special and loaded.vocab == trained.vocab
    for text in ("a red circle", "日本語 🙂", "<bos> is text"):
        np.testing.assert_array_equal(loaded.encode(text), trained.encode(text))
        assert loaded.decode(loaded.encode(text)) == text


@pytest.mark.parametrize("content", [None, "not json", "{}"], ids=["missing", "text", "empty"])
def test_a_file_that_is_no_tokenizer_is_named(content, tmp_path):
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match="tokenizer.json"):
        Tokenizer.load(path)


def test_a_vocabulary_smaller_than_the_bytes_is_refused():
    with pytest.raises(ValueError, match="vocab 100 is too small"):
        Tokenizer.train(["x"], vocab=100)
