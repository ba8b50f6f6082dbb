"""Chat: how a published model writes a document.

With a chat template, given parts are the user's turns and produced ones the assistant's. Without one, parts simply
follow each other. Where a picture belongs the template writes one id, its place; the family says what comes there.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

import numpy as np

from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Part, Text, is_blank
from unified_jax.data.plan import Span

BLANK = Span((("text", np.zeros(1, np.int32)),), fill="text")


def joined(parts: Sequence[Part]) -> str:
    """A message of a model that knows text only. Raises ValueError for a picture."""
    return "\n".join(part.text if isinstance(part, Text) else _refuse(part) for part in parts)


def listed(parts: Sequence[Part]) -> list[dict[str, str]]:
    """A message of texts and pictures, in the words of published templates."""
    return [{"type": "text", "text": part.text} if isinstance(part, Text) else {"type": "image"} for part in parts]


def _refuse(picture: Image) -> NoReturn:
    raise ValueError("this model reads and writes text only: leave pictures out of the document")


@dataclasses.dataclass(frozen=True)
class Pictures:
    """How pictures are written. spans: of one that is given, drawn or blank. place: the id that stands for a given one
    in what the template renders; -1 for none. content: parts of a turn -> what the template has of them. start: what
    every conversation begins with, whether the template writes it or not.
    """

    spans: Callable[[Image], list[Span]]
    place: int = -1
    content: Callable[[Sequence[Part]], Any] = listed
    start: str = ""


TEXT_ONLY = Pictures(_refuse, content=joined)


def writer(tokenizer: ChatTokenizer, pictures: Pictures = TEXT_ONLY) -> Callable[[Document], list[Span]]:
    """The way of writing that fits the tokenizer."""
    return partial(form_of(tokenizer), tokenizer=tokenizer, pictures=pictures)


def form_of(tokenizer: ChatTokenizer) -> Callable[..., list[Span]]:
    """``turns`` of a model that was trained to chat, or else ``plain``."""
    return plain if tokenizer.template is None else turns


def plain(document: Document, *, tokenizer: ChatTokenizer, pictures: Pictures = TEXT_ONLY) -> list[Span]:
    """The parts one after another, after bos where the model expects it; a produced text ends with the first stop."""
    start = pictures.start or (tokenizer.special["bos_token"] if tokenizer.add_bos else "")
    spans = [_text(tokenizer.encode(start, markup=True))] if start else []
    for part in document:
        if isinstance(part, Image):
            spans += pictures.spans(part)
        elif is_blank(part):
            spans.append(BLANK)
        else:
            ids = part.values if part.values is not None else tokenizer.encode(part.text)
            end = tokenizer.stop[:1] if part.target else ()
            spans.append(_text([*ids, *end], learn=part.target))
        if is_blank(part):
            break
    return spans


def turns(document: Document, *, tokenizer: ChatTokenizer, pictures: Pictures = TEXT_ONLY) -> list[Span]:
    """The conversation as its template renders it; the assistant's words and what ends them are learned."""
    spans, messages, written, asked = [], [], "", ()
    for role, parts in _turns(document):
        if role == "user":
            messages.append({"role": role, "content": pictures.content(parts)})
            asked = parts
            continue
        (part,) = parts
        opened = tokenizer.render(messages, ask=True)
        spans = spans or _start(opened, tokenizer, pictures)
        spans += _given(opened.removeprefix(written), asked, tokenizer, pictures)
        if isinstance(part, Image):
            spans += pictures.spans(part)
        if is_blank(part):
            return spans if isinstance(part, Image) else [*spans, BLANK]
        said = parts if isinstance(part, Text) else ()
        messages.append({"role": role, "content": pictures.content(said)})
        written, asked = tokenizer.render(messages), ()
        spans.append(_text(_answer(written.removeprefix(opened), said, tokenizer), learn=True))
    if asked:
        rendered = tokenizer.render(messages)
        spans = spans or _start(rendered, tokenizer, pictures)
        spans += _given(rendered.removeprefix(written), asked, tokenizer, pictures)
    return spans


def _turns(document: Document) -> list[tuple[str, tuple[Part, ...]]]:
    """(role, parts) of every turn: given parts that follow each other are one."""
    found: list[tuple[str, tuple[Part, ...]]] = []
    for part in document:
        if not part.target and found and found[-1][0] == "user":
            found[-1] = ("user", (*found[-1][1], part))
        else:
            found.append(("assistant" if part.target else "user", (part,)))
    return found


def _start(rendered: str, tokenizer: ChatTokenizer, pictures: Pictures) -> list[Span]:
    """What every conversation begins with, where its template does not write that. Its ids are its own: some
    tokenizers treat the first letters of a text unlike others.
    """
    return [] if rendered.startswith(pictures.start) else [_text(tokenizer.encode(pictures.start, markup=True))]


def _given(rendered: str, parts: Sequence[Part], tokenizer: ChatTokenizer, pictures: Pictures) -> list[Span]:
    """What is rendered, with its pictures. Raises ValueError where the template shows more or fewer than were given."""
    ids = _encode(rendered, [part.text for part in parts if isinstance(part, Text)], tokenizer)
    images, places = [part for part in parts if isinstance(part, Image)], np.flatnonzero(ids == pictures.place)
    if len(images) != len(places):
        raise ValueError(f"the chat template shows {len(places)} pictures of a turn of {len(images)}")
    before, *between = np.split(ids, places)
    spans = [_text(before)]
    for image, after in zip(images, between):
        spans += [*pictures.spans(image), _text(after[1:])]
    return [span for span in spans if span.sizes() != {"text": 0}]


def _answer(rendered: str, said: Sequence[Text], tokenizer: ChatTokenizer) -> np.ndarray:
    """Ids of an assistant's turn. What was generated is never tokenised anew."""
    for part in said:
        if part.values is not None and rendered.startswith(part.text):
            return np.concatenate([part.values, tokenizer.encode(rendered[len(part.text) :], markup=True)])
    return _encode(rendered, [part.text for part in said], tokenizer)


def _encode(rendered: str, texts: Sequence[str], tokenizer: ChatTokenizer) -> np.ndarray:
    """Ids of rendered text, in which only the template may speak of special tokens, not what people wrote."""
    for i, text in enumerate(texts):
        before, found, after = rendered.partition(text) if text else ("", "", "")
        if found and tokenizer.names_special(text):
            pieces = (_encode(before, [], tokenizer), tokenizer.encode(text), _encode(after, texts[i + 1 :], tokenizer))
            return np.concatenate(pieces)
    return tokenizer.encode(rendered, markup=True)


def _text(ids: Any, *, learn: bool = False) -> Span:
    return Span((("text", np.asarray(ids, np.int32)),), learn=learn)
