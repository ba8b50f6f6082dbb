"""Span: how one family writes one stretch of a document; a plan is a list of spans."""

import dataclasses
from typing import Any, Literal

import numpy as np


@dataclasses.dataclass(frozen=True)
class Span:
    """A stretch of one or several streams that attends in one way.

    parts: (stream, values [n ...]) in order; a span may mix streams (text delimiters around an image).
    attend: "causal" gives every entry its own block and predicts it from its predecessor; "full" makes the span one
      block at one sequence index, each entry predicted from itself.
    private: a noised copy that only its own block sees. A full one takes no sequence index, so a clean copy that
      follows stands where the noised one stood.
    learn: whether entries carry loss; the name of a stream where only its entries do.
    grid: (rows, columns) of the part that is a picture.
    blocks: how many entries each block of a full span has, where it is several, of which later ones see earlier ones;
      () for one block. Each has a sequence index of its own and, where there is no grid, is a square of places.
    counted: whether the entries of a full span have a sequence index each, one after another, as in models whose
      pictures have no positions of their own.
    extent: how many sequence indices the span takes, while all of its entries stand at the first of them, as in models
      whose rows and columns go on from it; None for what ``attend`` says.
    heading: how many of the first entries are never learned: those that only tell what follows its time.
    closing: the same of the last: those that only stand behind what is learned.
    told: what adaptive norms at its slots are told, where its streams are told anything.
    fill: when generating, how to produce this span; its values are then placeholders. None: the span is given.
    """

    parts: tuple[tuple[str, np.ndarray], ...]
    attend: Literal["causal", "full"] = "causal"
    private: bool = False
    learn: bool | str = True
    grid: tuple[int, int] | None = None
    blocks: tuple[int, ...] = ()
    counted: bool = False
    extent: int | None = None
    heading: int = 0
    closing: int = 0
    told: int = 0
    fill: Any = None

    def sizes(self) -> dict[str, int]:
        """Entries of each stream."""
        sizes: dict[str, int] = {}
        for stream, values in self.parts:
            sizes[stream] = sizes.get(stream, 0) + len(values)
        return sizes


@dataclasses.dataclass
class Cursor:
    """Where the next span of a document goes: its block, its sequence index, and the slot that predicts it."""

    block: int = 0
    index: int = 0
    last: int | None = None

    def advance(self, span: Span, n: int | None = None) -> None:
        """Moves past a span (its first ``n`` entries, where only part of a causal one was placed)."""
        if span.attend == "full":
            self.block += max(1, len(span.blocks))
            taken = count([span]) if span.counted else max(1, len(span.blocks))
            taken = 0 if span.private else taken
        else:
            taken = sum(span.sizes().values()) if n is None else n
            self.block += taken
        self.index += taken if span.extent is None else span.extent


def count(spans: list[Span]) -> int:
    """Slots of a whole plan."""
    return sum(len(values) for span in spans for _, values in span.parts)


def skip(spans: list[Span], entries: int) -> tuple[Cursor, list[Span]]:
    """Where a document stands after its first ``entries`` entries, and the spans that remain.

    A causal span of one stream may be cut; a full one is taken whole. Raises ValueError otherwise.
    """
    cursor, rest = Cursor(), list(spans)
    while entries and rest:
        size = count(rest[:1])
        if size <= entries:
            cursor.advance(rest.pop(0))
            entries -= size
            continue
        if rest[0].attend == "full" or len(rest[0].parts) != 1:
            raise ValueError(f"a {rest[0].attend} span of {size} entries cannot be cut after {entries}")
        ((stream, values),) = rest[0].parts
        cursor.advance(rest[0], entries)
        rest[0] = dataclasses.replace(rest[0], parts=((stream, values[entries:]),))
        entries = 0
    return cursor, rest


def sizes(spans: list[Span]) -> dict[str, int]:
    """Entries of each stream over a whole plan."""
    total: dict[str, int] = {}
    for span in spans:
        for stream, n in span.sizes().items():
            total[stream] = total.get(stream, 0) + n
    return total
