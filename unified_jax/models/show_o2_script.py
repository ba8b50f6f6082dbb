"""How Show-o2 writes a document (arXiv:2506.15564, section 3; github.com/showlab/Show-o, ``show-o2``).

    drawn       <|im_start|> text <|vision_start|> { [time] entry ... entry } <|vision_end|> <|im_end|>
    answered    <|im_start|> system <|vision_start|> [time] { entry ... entry <|vision_end|> } text answer <|im_end|>

Braces see all of themselves, the rest is causal; every entry has a sequence index of its own. That a given picture's
block begins one slot later than a drawn one's is how the release runs. Texts that are given as ids stand as they are,
without the words around them.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from unified_jax.codecs.base import Codec
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text, is_blank
from unified_jax.data.plan import Span
from unified_jax.models.decoders.chat import BLANK

BEGIN, END, SHOW, SHOWN = "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"
SYSTEM = "system\nYou are a helpful assistant.<|im_end|>"
USER, ANSWER = "\n<|im_start|>user\n", "\n<|im_start|>assistant\n"


@dataclasses.dataclass(frozen=True, eq=False)
class Script:
    """How documents are written. codec: of pictures. grid: of every picture, in entries."""

    tokenizer: ChatTokenizer
    codec: Codec
    grid: tuple[int, int]

    def write(self, document: Document) -> list[Span]:
        """Spans up to the first blank."""
        chat = any(isinstance(part, Text) and part.target for part in document)
        chat &= not any(isinstance(part, Text) and not part.target and part.values is not None for part in document)
        spans = [_text(self._id(BEGIN))]
        for before, part in zip((None, *document), document):
            if chat and not part.target and (before is None or before.target):
                spans.append(_text(self.tokenizer.encode(USER if before else SYSTEM + USER, markup=True)))
            if chat and part.target and isinstance(part, Text):
                spans.append(_text(self.tokenizer.encode(ANSWER, markup=True)))
            if isinstance(part, Image):
                spans += self._drawn(part) if part.target else self._given(part)
            else:
                spans.append(BLANK if is_blank(part) else self._said(part))
            if is_blank(part):
                return spans
        answered = isinstance(document[-1], Text) and document[-1].target
        return spans if answered else [*spans, _text(self._id(END))]

    def _said(self, part: Text) -> Span:
        ids = self.tokenizer.encode(part.text) if part.values is None else part.values
        return _text([*ids, *self._id(END)], learn=True) if part.target else _text(ids)

    def _given(self, image: Image) -> list[Span]:
        """Its time sees none of it."""
        values = self._headed(image)
        parts = (("image", values), ("text", self._id(SHOWN)))
        blocks = (1, len(values))
        shown = Span(parts, attend="full", learn=False, grid=self.grid, blocks=blocks, counted=True)
        return [_text(self._id(SHOW)), shown]

    def _drawn(self, image: Image) -> list[Span]:
        """A picture to learn, and as context of what follows, or a blank one: placeholders to fill."""
        fill = "image" if image.values is None else None
        parts = (("image", self._headed(image)),)
        picture = Span(parts, attend="full", counted=True, heading=1, fill=fill)
        return [_text(self._id(SHOW)), picture, *([] if fill else [_text(self._id(SHOWN))])]

    def _headed(self, image: Image) -> np.ndarray:
        """A picture's entries, behind one that tells their time."""
        size, shape = self.grid[0] * self.grid[1], self.codec.shape
        values = np.zeros((*self.grid, *shape), self.codec.dtype) if image.values is None else image.values
        if values.shape[:2] != self.grid:
            raise ValueError(f"pictures are {self.grid[0]} x {self.grid[1]} entries here, found {values.shape[:2]}")
        return np.concatenate([np.zeros((1, *shape), values.dtype), values.reshape(size, *shape)])

    def _id(self, word: str) -> np.ndarray:
        return np.array([self.tokenizer.special_id(word)], np.int32)


def _text(ids: Sequence[int | np.integer] | np.ndarray, *, learn: bool = False) -> Span:
    return Span((("text", np.asarray(ids, np.int32)),), learn=learn)
