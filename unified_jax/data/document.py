"""Document: what a person means, text and images in reading order, before any model is chosen.

A captioning pair, a question, a drawing request, an edit and an illustrated story are all documents; they differ
only in which parts are given and which are to be produced (``target``). A family's plan turns a document into spans.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np


class BadRecord(ValueError):
    """A record that cannot become a document; the loader counts, names and skips it up to a configured limit."""


@dataclasses.dataclass(frozen=True)
class Text:
    """A run of text. ``target=True`` means the model produces it: learned in training, filled in by ``generate``.

    values: int32 [n] ids, where the text was generated, so that it is never re-tokenised differently.
    """

    text: str | None = None
    target: bool = False
    values: np.ndarray | None = dataclasses.field(default=None, compare=False, repr=False)

    def blank(self) -> "Text":
        return dataclasses.replace(self, text=None, values=None)


@dataclasses.dataclass(frozen=True, eq=False)
class Image:
    """A picture.

    pixels: uint8 [height width 3], sRGB; None where ``generate`` is to draw it.
    values: what the family's codec made of the pixels (patches, latents or codes, [rows columns ...]), or each of its
      readers where it has several; set by ``encode``, so that a document is encoded once however often it is packed.
    """

    pixels: np.ndarray | None = None
    target: bool = False
    values: np.ndarray | tuple[np.ndarray, ...] | None = None

    def blank(self) -> "Image":
        return dataclasses.replace(self, pixels=None, values=None)


@dataclasses.dataclass(frozen=True)
class Answer:
    """As many texts and pictures as the model wants, in the order it wants: ``generate`` puts them in this place.

    A model knows how to go on after a picture, and when to end, from documents that ask for texts and pictures side by
    side.
    """

    target = True

    def blank(self) -> "Answer":
        return self


Part = Text | Image | Answer


@dataclasses.dataclass(frozen=True)
class Document(Sequence[Part]):
    """Parts in reading order, and ``info``: facts about the document that no model sees (task, record id, scene)."""

    parts: tuple[Part, ...]
    info: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __init__(self, parts: Iterable[Part], info: Mapping[str, Any] | None = None):
        object.__setattr__(self, "parts", tuple(parts))
        object.__setattr__(self, "info", dict(info or {}))

    def __iter__(self):
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index):
        return self.parts[index]

    @property
    def targets(self) -> tuple[Part, ...]:
        """The parts the model is to produce, in order."""
        return tuple(part for part in self.parts if part.target)

    def prompt(self) -> "Document":
        """The same document with every target emptied: what ``generate`` is given when the answer is known."""
        return Document((part.blank() if part.target else part for part in self.parts), self.info)


def check(document: Document) -> Document:
    """Returns ``document`` unchanged, or raises BadRecord saying which part is unusable for training and why."""
    if not len(document):
        raise BadRecord("the document has no parts")
    for index, part in enumerate(document):
        if reason := _fault(part):
            raise BadRecord(f"part {index}: {reason}")
    return document


def check_prompt(document: Iterable[Part]) -> Document:
    """A prompt as a Document; raises ValueError where a given part is unusable or nothing is left to produce."""
    document = document if isinstance(document, Document) else Document(document)
    if not any(map(is_blank, document)):
        raise ValueError(
            "nothing to generate: end the document with a blank part, Text(target=True), Image(target=True) or Answer()"
        )
    for index, part in enumerate(document):
        if not is_blank(part) and (reason := _fault(part)):
            raise ValueError(f"part {index}: {reason}")
    return document


def is_blank(part: Part) -> bool:
    """Whether the part is still to be made."""
    if isinstance(part, Answer):
        return True
    content = (part.text,) if isinstance(part, Text) else (part.pixels, part.values)
    return part.target and all(x is None for x in content)


def _fault(part: Part) -> str | None:
    """Why a part cannot be used, or None."""
    if isinstance(part, Answer):
        return "an open answer has nothing to learn from: give its texts and pictures as targets"
    if isinstance(part, Text):
        return None if isinstance(part.text, str) and part.text.strip() else "empty text"
    pixels = part.pixels
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 3:
        found = f"{pixels.dtype}{list(pixels.shape)}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        return f"an image must be uint8 [height width 3], found {found}"
    return f"the image has zero size {pixels.shape[1]}x{pixels.shape[0]}" if 0 in pixels.shape else None
