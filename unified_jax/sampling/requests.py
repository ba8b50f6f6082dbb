"""Requests on their way through the engine: what a person asks for, and how far its document has come."""

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import numpy as np

from unified_jax.core.types import PRNGKeyArray
from unified_jax.data.document import Document, Part, Text, check_prompt, is_blank
from unified_jax.data.plan import Span, count, skip
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.prefill import cut_span
from unified_jax.sampling.transcript import Transcript


@dataclasses.dataclass(frozen=True)
class Request:
    """document: with blank targets. rng: all its draws come from here. settings: how its blanks are filled."""

    document: Sequence[Part]
    rng: PRNGKeyArray
    settings: Settings = Settings()


class Row:
    """One version of a document, conditioned or null, in one row of the cache.

    number: which row. length: slots it occupies. todo: spans to prefill before the blank. lead: the entries after them
    that the fill runs itself. blank: the span to fill. cursor: where the next of them stands.
    """

    def __init__(self):
        self.number = -1
        self.length = 0
        self._committed = 0  # entries of the plan, by now or once ``todo`` has run

    def open(self, plan: list[Span], lead: int) -> None:
        """plan: spans up to the next blank, which is the last."""
        self.blank = plan[-1]
        self.cursor, rest = skip(plan[:-1], self._committed)
        self.todo, self.lead = _hold_back(rest, lead)
        self._committed += count(self.todo)

    def wrote(self, entries: int) -> None:
        """The fill has committed so many entries."""
        self._committed += entries
        self.length += entries


class Job:
    """A request being served, blank after blank.

    index: of the request. rows: the conditioned version first, then the null one if guided. fill: of the blank at hand.
    key: what the blank draws from. ids: those of the blank so far. transcript: what they say; None in a picture.
    """

    def __init__(self, index: int, request: Request, family: Any, params: Any):
        self.index, self.settings = index, request.settings
        self.document = family.encode([check_prompt(request.document)], params)[0]
        self.rows = [Row(), Row()] if request.settings.guided else [Row()]
        self._family, self._params, self._keys = family, params, request.rng
        self._open()

    @property
    def group(self) -> Hashable:
        """Jobs of one group can be served in one call."""
        return self.fill.group(count([self.rows[0].blank]))

    @property
    def need(self) -> int:
        """Slots of a cache row that are taken once the blank at hand is filled."""
        room = self.fill.room(self.settings)
        return room + max(row.length + count(row.todo) for row in self.rows)

    def _open(self) -> None:
        shown = _until_blank(self.document)
        plans = [
            _without_noised(self._family.write(version))
            for version in (shown, self._family.null(shown))[: len(self.rows)]
        ]
        self.fill, self.ids = self._family.fills[plans[0][-1].fill], []
        for row, plan in zip(self.rows, plans):
            row.open(plan, self.fill.lead)
        self._keys, self.key = jax.random.split(self._keys)
        is_text = isinstance(shown[-1], Text)
        self.transcript = Transcript(self._family.tokenizer.decode, self.settings.stop) if is_text else None

    def news(self) -> Text | None:
        """What has been written since the last time it was asked; None in a picture."""
        return self.transcript.news(self.ids) if self.transcript is not None else None

    def answer(self, values: np.ndarray, text: str | None = None) -> Part:
        """Puts what was made, [n ...], in the place of the blank at hand. text: what its ids say, if not all of them.

        Returns the finished picture, or of a text what ``news`` has not told yet.
        """
        parts = list(self.document)
        index = next(i for i, part in enumerate(parts) if is_blank(part))
        if self.transcript is None:
            made = new = self._family.image(values, self._params)
        else:
            made = self._family.text(values)
            made = made if text is None else dataclasses.replace(made, text=text)
            new = self.transcript.rest(values, made.text)
        self.document = Document([*parts[:index], made, *parts[index + 1 :]], self.document.info)
        return new

    def proceed(self) -> bool:
        """Turns to the next blank, if there is one."""
        if not any(map(is_blank, self.document)):
            return False
        self._open()
        return True


def _until_blank(document: Document) -> Document:
    index = next(i for i, part in enumerate(document) if is_blank(part))
    return Document(document[: index + 1], document.info)


def _without_noised(spans: list[Span]) -> list[Span]:
    """Without the noised copies that only training shows."""
    return [span for span in spans if not span.private or span.fill is not None]


def _hold_back(spans: list[Span], entries: int) -> tuple[list[Span], list[Span]]:
    """The spans but for their last ``entries`` entries, and those entries (of a causal span of one stream)."""
    if not entries:
        return spans, []
    if not spans:
        raise ValueError("nothing stands before the blank text: give the document a part that the text follows")
    *given, last = spans
    head, tail = cut_span(last, count([last]) - entries)
    return [*given, head] if count([head]) else given, [tail]
