"""Published systems over a tokenizer trained here: ids by name, text back as it was written, codes behind the words."""

import pytest

from unified_jax.data.chat import SPECIAL, ChatTokenizer
from unified_jax.models.reworded import reworded, with_ids
from unified_jax.train.experiment import Experiment


@pytest.fixture(scope="module")
def words(tokenizer):
    return ChatTokenizer.of(tokenizer, special=SPECIAL | {"eof_token": "<eof>"}, added=("<image>",))


def test_text_comes_back_as_it_was_written(words):
    for text in ("a red circle", "Ünusual  spaces", "<eos> is no token here"):
        ids = words.encode(text)
        assert words.decode(ids) == text and not set(ids) & {words.special_id(name) for name in SPECIAL}


def test_added_tokens_are_behind_the_words_and_eos_ends_a_text(words, tokenizer):
    assert [words.special_id(x) for x in ("eof_token", "<image>")] == [tokenizer.vocab, tokenizer.vocab + 1]
    assert words.vocab == tokenizer.vocab + 2 and words.stop == (tokenizer.special["<eos>"],)
    assert "<image>" not in tokenizer.copy().get_vocab()  # the tokenizer itself is as it was


def test_saved_words_are_the_same_when_read(words, tmp_path):
    words.save(tmp_path)
    read = ChatTokenizer.load(tmp_path, stop=words.stop)
    assert read.special == words.special and read.add_bos and read.decode(read.encode("a red")) == "a red"


def test_tokens_in_fields_become_ids(words):
    fields = {"text_config": {"eos_token_id": "<eos>", "hidden_act": "silu"}, "image_token_index": "<image>"}
    found = with_ids(fields, words)
    assert found["text_config"] == {"eos_token_id": words.stop[0], "hidden_act": "silu"}
    assert found["image_token_index"] == words.special_id("<image>")
    with pytest.raises(ValueError, match="has no <video>"):
        with_ids({"video_token_id": "<video>"}, words)


def test_a_vocabulary_without_room_is_refused(tokenizer):
    c = Experiment.load("configs/fuyu.py:debug", ["published.config.text_config.vocab_size=300"]).config
    with pytest.raises(ValueError, match=f"has {tokenizer.vocab + 3} tokens, the config's vocab_size is 300"):
        files = {f"{name}.json": fields for name, fields in c.published.to_dict().items()}
        reworded(tokenizer, files, added=c.words.added)
