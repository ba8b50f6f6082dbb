"""Chat: how a published language model writes a document of texts.

With a chat template, given texts are the user's turns and produced ones the assistant's. Without one, texts simply
follow each other.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Text, is_blank
from unified_jax.data.plan import Span

BLANK = Span((("text", np.zeros(1, np.int32)),), fill="text")


def writer(tokenizer: ChatTokenizer) -> Callable[[Document], list[Span]]:
    """The way of writing that fits the tokenizer."""
    return partial(_write, tokenizer=tokenizer, texts=plain if tokenizer.template is None else turns)


def _write(document: Document, *, tokenizer: ChatTokenizer, texts: Callable[..., list[Span]]) -> list[Span]:
    if not all(isinstance(part, Text) for part in document):
        raise ValueError("this model reads and writes text only: leave pictures out of the document")
    return texts(document, tokenizer=tokenizer)


def plain(document: Document, *, tokenizer: ChatTokenizer) -> list[Span]:
    """The texts one after another, after bos where the model expects it; a produced one ends with the first stop."""
    spans = []
    if tokenizer.add_bos:
        spans.append(_given(tokenizer.encode(tokenizer.special["bos_token"], markup=True)))
    for part in document:
        if is_blank(part):
            return [*spans, BLANK]
        ids = part.values if part.values is not None else tokenizer.encode(part.text)
        end = tokenizer.stop[:1] if part.target else ()
        spans.append(Span((("text", np.asarray([*ids, *end], np.int32)),), learn=part.target))
    return spans


def turns(document: Document, *, tokenizer: ChatTokenizer) -> list[Span]:
    """The conversation as its template renders it; the assistant's words and what ends them are learned."""
    spans, messages, written = [], [], ""
    for role, text, part in _turns(document):
        if role == "user":
            messages.append({"role": role, "content": text})
            continue
        opened = tokenizer.render(messages, ask=True)
        spans.append(_given(_encode(opened.removeprefix(written), messages, tokenizer)))
        if is_blank(part):
            return [*spans, BLANK]
        messages.append({"role": role, "content": text})
        written = tokenizer.render(messages)
        answer = written.removeprefix(opened)
        ids = _encode(answer, messages[-1:], tokenizer)
        if part.values is not None and answer.startswith(text):  # never tokenise anew what was generated
            ids = np.concatenate([part.values, tokenizer.encode(answer[len(text) :], markup=True)])
        spans.append(Span((("text", ids),)))
    if messages and messages[-1]["role"] == "user":
        spans.append(_given(_encode(tokenizer.render(messages).removeprefix(written), messages, tokenizer)))
    return spans


def _turns(document: Document) -> list[tuple[str, str | None, Text]]:
    """(role, text, last part) of every turn: given texts that follow each other are one."""
    found: list[tuple[str, str | None, Text]] = []
    for part in document:
        if not part.target and found and found[-1][0] == "user":
            found[-1] = ("user", f"{found[-1][1]}\n{part.text}", part)
        else:
            found.append(("assistant" if part.target else "user", part.text, part))
    return found


def _encode(rendered: str, messages: list[dict[str, str]], tokenizer: ChatTokenizer) -> np.ndarray:
    """Ids of rendered text, in which only the template may speak of special tokens, not what people wrote."""
    for message in messages:
        before, content, after = rendered.partition(message["content"])
        if content and tokenizer.names_special(content):
            pieces = (_encode(before, [], tokenizer), tokenizer.encode(content), _encode(after, messages, tokenizer))
            return np.concatenate(pieces)
    return tokenizer.encode(rendered, markup=True)


def _given(ids: np.ndarray) -> Span:
    return Span((("text", ids),), learn=False)
