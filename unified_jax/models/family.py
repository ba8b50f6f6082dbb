"""Family: how one system writes documents and reads back what it generated; the non-neural half of a Model."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from unified_jax.codecs.base import Codec, to_float, to_uint8
from unified_jax.core.types import PRNGKeyArray
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import BadRecord, Document, Image, Part, Text
from unified_jax.data.document import check as check_document
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.published import Published
from unified_jax.models.reader import Reader, Readers
from unified_jax.sampling.fill import Fill


@dataclasses.dataclass(frozen=True, eq=False)
class Family:
    """Everything about a system that is not a parameter.

    name, arguments: the family function and the plain values it was called with, so that a checkpoint can rebuild it.
    write: a document whose images carry values -> spans. null: the same document without its condition, for guidance;
      blind: without its given pictures, and where the fill pairs the two as ``two_conditions`` does without its words
      too, for guidance by the pictures; None where a family has none such.
    fills: how a blank span is produced, by the name in ``Span.fill``: "text" or "image".
    codec: pixels <-> values; its parameters, if any, are ``params["codec"]``. reader: of given pictures, where the
      system sees those otherwise than it draws; None for the codec.
    values_of: what a picture's fill produced, [n ...], -> the codec's values [h w ...], where its span has no grid.
    image_size: (height, width) of the pictures it draws, and of the largest it reads. smallest: the least layout the
      model runs on. published: where weights come from another project, how it writes them.
    """

    name: str
    arguments: Mapping[str, Any]
    tokenizer: Tokenizer | ChatTokenizer
    codec: Codec
    streams: Mapping[str, Stream]
    smallest: Layout
    image_size: tuple[int, int]
    write: Callable[[Document], list[Span]]
    null: Callable[[Document], Document]
    fills: Mapping[str, Fill]
    values_of: Callable[[np.ndarray], np.ndarray]
    blind: Callable[[Document], Document] | None = None
    published: Published | None = None
    reader: Reader | Readers | None = None

    def plan(self, document: Sequence[Part], params: Mapping[str, Any] | None = None) -> list[Span]:
        """Spans of one document. params: needed only where the codec has weights."""
        return self.write(self.encode([document], params)[0])

    def encode(
        self,
        documents: Sequence[Sequence[Part]],
        params: Mapping[str, Any] | None = None,
        *,
        rng: PRNGKeyArray | None = None,
    ) -> list[Document]:
        """Fills in ``values`` of every image that has pixels.

        rng: draws them, where the codec has a posterior; None for the most probable. Documents that were encoded by it
        can be generated from: values that are there stay.
        Raises ValueError for a picture that ``check`` refuses.
        """
        drawn = Reader(self._prepare, self.codec)
        waiting: dict[Reader | Readers, list[tuple[int, int]]] = {}
        for i, document in enumerate(documents):
            for j, part in enumerate(document):
                if isinstance(part, Image) and part.pixels is not None and part.values is None:
                    reader = drawn if part.target or self.reader is None else self.reader
                    waiting.setdefault(reader, []).append((i, j))
        parts = [list(document) for document in documents]
        for reader, places in waiting.items():
            for (i, j), values in zip(places, reader.read([parts[i][j].pixels for i, j in places], params, rng=rng)):
                parts[i][j] = dataclasses.replace(parts[i][j], values=values)
        return [Document(new, getattr(old, "info", None)) for new, old in zip(parts, documents)]

    def check(self, document: Document) -> Document:
        """Returns a document to learn from unchanged; raises BadRecord for a part that is unusable or too large."""
        for index, part in enumerate(check_document(document)):
            if isinstance(part, Image) and (part.target or self.reader is None):
                try:
                    self._readable(part.pixels)
                except ValueError as error:
                    raise BadRecord(f"part {index}: {error}") from None
        return document

    def _readable(self, pixels: np.ndarray) -> None:
        height, width = pixels.shape[:2]
        grid, largest = self.codec.grid(height, width), self.codec.grid(*self.image_size)
        if grid[0] > largest[0] or grid[1] > largest[1]:
            limit = f"{self.image_size[1]}x{self.image_size[0]}"
            raise ValueError(f"image of {width}x{height} pixels: this model reads at most {limit}; make it smaller")

    def _prepare(self, pixels: np.ndarray) -> np.ndarray:
        self._readable(pixels)
        return to_float(pixels)

    def text(self, ids: np.ndarray) -> Text:
        """Generated ids [n] -> the part they mean."""
        return Text(self.tokenizer.decode(ids), target=True, values=ids)

    def image(self, values: np.ndarray, params: Mapping[str, Any], *, grid: tuple[int, int] | None = None) -> Image:
        """What a picture's fill produced, [n ...], -> the picture. grid: of its span, where that has one."""
        values = self.values_of(values) if grid is None else values.reshape(*grid, *values.shape[1:])
        pixels = self.codec.decode(params.get("codec", {}), values[None])[0]
        return Image(to_uint8(pixels), target=True, values=values)


UNREAD = "unread"  # among a document's facts: it is written as the null prompt


def unread(document: Document) -> Document:
    """The null prompt of systems that have one of their own, which ``write`` then writes."""
    return Document(document, {**document.info, UNREAD: True})


def without_text(document: Document) -> Document:
    """The null prompt of most systems: the given text is left out, given pictures stay."""
    return Document((part for part in document if part.target or not isinstance(part, Text)), document.info)


def without_given(document: Document) -> Document:
    """Neither the given text nor the given pictures: the null prompt of edits that are guided by both."""
    return Document((part for part in document if part.target), document.info)
