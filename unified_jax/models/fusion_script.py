"""How Transfusion writes a document (arXiv:2408.11039, section 3), and LlamaFusion with it.

    text       ids                       causal, one part after another
    picture    <boi> patches <eoi>       the patches see all of themselves, with a sequence index each; <boi> is learned

A picture stands there once, and what follows sees it as it is: noised while it is learned. So one that something
follows is a stream of its own, ``shown``, whose noise a config limits to the lower half of the levels (section 4.3.4).
Given pictures are clean.
"""

import dataclasses
from typing import Any

import numpy as np

from unified_jax.codecs.base import Codec
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image
from unified_jax.data.plan import Span
from unified_jax.models.decoders import chat
from unified_jax.models.pictured import blank_values


@dataclasses.dataclass(frozen=True, eq=False)
class Script:
    """How documents are written. image_size: of every picture. delimiters: the ids of <boi> and <eoi>."""

    tokenizer: ChatTokenizer
    codec: Codec
    image_size: tuple[int, int]
    delimiters: tuple[int, int]

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of a picture, in patches."""
        return self.codec.grid(*self.image_size)

    def write(self, document: Document) -> list[Span]:
        """Spans up to the first blank. Raises ValueError for a picture of another size."""
        *_, last = document
        pictures = chat.Pictures(lambda image: self._picture(image, final=image is last))
        return chat.plain(document, tokenizer=self.tokenizer, pictures=pictures)

    def _picture(self, image: Image, *, final: bool) -> list[Span]:
        """What would stand behind a last picture, nothing reads."""
        begin, end = (np.array([each], np.int32) for each in self.delimiters)
        opening = Span((("text", begin),), learn=image.target)
        if image.values is None:
            blank, _ = blank_values(self.codec, self.image_size)
            return [opening, self._patches("image", blank, fill="image")]
        if image.values.shape[:2] != self.grid:
            raise ValueError(f"pictures are {self.grid} patches here, found {image.values.shape[:2]}")
        values = image.values.reshape(-1, *self.codec.shape)
        if final:
            return [opening, self._patches("image", values, learn=image.target)]
        return [opening, self._patches("shown", values, learn=image.target), Span((("text", end),), learn=False)]

    def _patches(self, stream: str, values: np.ndarray, **fields: Any) -> Span:
        return Span(((stream, values),), attend="full", counted=True, grid=self.grid, **fields)
