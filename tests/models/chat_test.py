"""Chat: a conversation is written as its template says, and what people write is never markup."""

import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers

from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text
from unified_jax.models.decoders import chat

TEMPLATE = (
    "{% for m in messages %}"
    "<|start|>{{ m['role'] }}:{{ m['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant:{% endif %}"
)
REFUSING = "{% if messages[0]['role'] != 'system' %}{{ raise_exception('a system turn must come first') }}{% endif %}"


@pytest.fixture(scope="module")
def backend() -> tokenizers.Tokenizer:
    """Bytes and two special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = tokenizers.Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|start|>", "<|end|>"])
    return backend


@pytest.fixture(scope="module")
def tokenizer(backend) -> ChatTokenizer:
    return ChatTokenizer(backend, stop=(257,), template=TEMPLATE)


def ids_of(spans) -> np.ndarray:
    return np.concatenate([values for span in spans for _, values in span.parts])


def learned(spans) -> np.ndarray:
    return ids_of([span for span in spans if span.learn])


def written(tokenizer, ids) -> str:
    return tokenizer._backend.decode([int(i) for i in ids], skip_special_tokens=False)


def test_a_conversation_reads_as_its_template_renders_it(tokenizer):
    document = Document([Text("hi"), Text("hello", target=True), Text("bye"), Text("ciao", target=True)])
    spans = chat.writer(tokenizer)(document)
    assert written(tokenizer, ids_of(spans)) == (
        "<|start|>user:hi<|end|><|start|>assistant:hello<|end|><|start|>user:bye<|end|><|start|>assistant:ciao<|end|>"
    )
    assert written(tokenizer, learned(spans)) == "hello<|end|>ciao<|end|>"


def test_a_blank_answer_ends_the_plan_after_the_assistants_turn_is_opened(tokenizer):
    *given, blank = chat.writer(tokenizer)(Document([Text("hi"), Text(target=True), Text("unseen")]))
    assert blank.fill == "text"
    assert written(tokenizer, ids_of(given)) == "<|start|>user:hi<|end|><|start|>assistant:"


def test_given_texts_that_follow_each_other_are_one_turn(tokenizer):
    *given, _ = chat.writer(tokenizer)(Document([Text("one"), Text("two"), Text(target=True)]))
    assert written(tokenizer, ids_of(given)).startswith("<|start|>user:one\ntwo<|end|>")


def test_special_tokens_that_a_person_writes_stay_text(tokenizer, backend):
    *given, _ = chat.writer(tokenizer)(Document([Text("a<|end|>b"), Text(target=True)]))
    ids, end = ids_of(given), backend.token_to_id("<|end|>")
    assert written(tokenizer, ids).startswith("<|start|>user:a<|end|>b<|end|>")
    assert (ids == end).sum() == 1


def test_generated_ids_are_never_tokenised_anew(tokenizer, backend):
    odd = np.array([5, 6, 7], np.int32)
    text = tokenizer.decode(odd)
    document = Document([Text("hi"), Text(text, target=True, values=odd), Text("more"), Text(target=True)])
    spans = chat.writer(tokenizer)(document)
    np.testing.assert_array_equal(learned(spans[:-1]), [5, 6, 7, backend.token_to_id("<|end|>")])


def test_without_a_template_texts_follow_each_other_after_bos(backend):
    tokenizer = ChatTokenizer(backend, stop=(257,), special={"bos_token": "<|start|>"}, add_bos=True)
    spans = chat.writer(tokenizer)(Document([Text("ab"), Text("cd", target=True)]))
    assert written(tokenizer, ids_of(spans)) == "<|start|>abcd<|end|>"
    assert written(tokenizer, learned(spans)) == "cd<|end|>"


def test_a_folder_gives_back_the_tokenizer(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    again = ChatTokenizer.load(tmp_path, stop=(257,))
    messages = [{"role": "user", "content": "hi"}]
    assert again.render(messages, ask=True) == tokenizer.render(messages, ask=True)
    np.testing.assert_array_equal(again.encode("hi<|end|>", markup=True), tokenizer.encode("hi<|end|>", markup=True))


def test_weights_without_a_tokenizer_take_and_give_ids(tmp_path):
    tokenizer = ChatTokenizer.load(tmp_path)
    assert tokenizer.decode([3, 1]) == "3 1"
    *given, _ = chat.writer(tokenizer)(Document([Text("ids", values=np.array([4, 2], np.int32)), Text(target=True)]))
    np.testing.assert_array_equal(ids_of(given), [4, 2])
    with pytest.raises(ValueError, match="no tokenizer.json: give text as ids"):
        tokenizer.encode("hi")


def test_a_refusal_of_the_template_and_a_picture_are_clear_errors(backend, tokenizer):
    refusing = ChatTokenizer(backend, template=REFUSING)
    with pytest.raises(ValueError, match="refuses this conversation: a system turn must come first"):
        chat.writer(refusing)(Document([Text("hi"), Text(target=True)]))
    with pytest.raises(ValueError, match="text only: leave pictures out"):
        chat.writer(tokenizer)(Document([Image(np.zeros((8, 8, 3), np.uint8)), Text(target=True)]))


def test_a_template_cannot_reach_python(backend):
    spying = ChatTokenizer(backend, template="{{ messages.__class__.__mro__ }}")
    with pytest.raises(ValueError, match="refuses"):
        spying.render([{"role": "user", "content": "hi"}])
