"""How BAGEL writes a document (arXiv:2505.14683, section 2; github.com/ByteDance-Seed/Bagel, ``modeling/bagel.py``).

    text       <|im_start|> ids <|im_end|>                                    causal
    picture    <|vision_start|> patches or latents <|vision_end|>             sees all of itself, one sequence index

A given picture is its patches; where the document asks for a picture, its latents before them. The delimiters belong to
the block of the picture, and are noised copies where it is one.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from unified_jax.codecs.base import Codec
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Part, Text, is_blank
from unified_jax.data.plan import Span
from unified_jax.models.decoders.chat import BLANK

BLIND = "blind"  # among a document's facts: it is written without its given pictures


@dataclasses.dataclass(frozen=True, eq=False)
class Script:
    """How documents are written. codec: of drawn pictures. grid: of one that is drawn from words alone; an edited one
    is as large as the given picture before it.
    """

    tokenizer: ChatTokenizer
    codec: Codec
    grid: tuple[int, int]

    def id(self, word: str) -> int:
        """Of a special token. Raises ValueError where the tokenizer has none of this name."""
        ids = self.tokenizer.encode(word, markup=True)
        if len(ids) != 1:
            raise ValueError(f"this checkpoint's tokenizer has no {word}, which BAGEL needs")
        return int(ids[0])

    def write(self, document: Document) -> list[Span]:
        """Spans up to the first blank."""
        drawing = any(isinstance(part, Image) and part.target for part in document)
        spans, grid = [], self.grid
        for part, after in zip(document, (*document[1:], None)):
            if isinstance(part, Text):
                spans += self._text(part)
            elif part.target:
                spans += self._target(part, grid, final=after is None, edit=grid is not self.grid)
            else:
                seen, latents = part.values
                grid = latents.shape[:2]
                if not document.info.get(BLIND):
                    spans += [self._picture("image", latents)] if drawing else []
                    spans.append(self._picture("vision", seen))
            if is_blank(part):
                break
        return spans

    def _text(self, part: Text) -> list[Span]:
        begin, end = self.id("<|im_start|>"), self.id("<|im_end|>")
        if is_blank(part):
            return [_ids([begin]), BLANK]
        ids = [*(self.tokenizer.encode(part.text) if part.values is None else part.values), end]
        return [_ids([begin]), _ids(ids, learn=True)] if part.target else [_ids([begin, *ids])]

    def _target(self, part: Image, grid: tuple[int, int], *, final: bool, edit: bool) -> list[Span]:
        """One to fill, or to learn: noised, and clean for what follows."""
        if is_blank(part):
            values = np.zeros((*grid, *self.codec.shape), self.codec.dtype)
            return [self._picture("image", values, private=True, fill="edit" if edit else "image")]
        noised = self._picture("image", part.values, private=True, learn="image")
        return [noised] if final else [noised, self._picture("image", part.values)]

    def _picture(self, stream: str, values: np.ndarray, *, learn: bool | str = False, **fields: Any) -> Span:
        """values: [rows columns P]. The delimiters are part of what sees all of itself."""
        grid = values.shape[:2]
        begin, end = (np.array([self.id(f"<|vision_{side}|>")], np.int32) for side in ("start", "end"))
        parts = (("text", begin), (stream, values.reshape(grid[0] * grid[1], -1)), ("text", end))
        return Span(parts, attend="full", learn=learn, grid=grid, **fields)


def _ids(ids: Sequence[int | np.integer], *, learn: bool = False) -> Span:
    return Span((("text", np.asarray(ids, np.int32)),), learn=learn)


def before_last_text(document: Document) -> Document:
    """The null prompt: what was given before the last text, or all of it where a picture was given after that."""
    given = [i for i, part in enumerate(document) if not part.target]
    if not given or not isinstance(document[given[-1]], Text):
        return document
    parts: list[Part] = [part for i, part in enumerate(document) if i < given[-1] or part.target]
    return Document(parts, document.info)


def without_pictures(document: Document) -> Document:
    """The same document, written without its given pictures, but of the same size as with them."""
    return Document(document, {**document.info, BLIND: True})
