"""Requests on their way through the engine: what a person asks for, and how far its document has come."""

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import numpy as np

from unified_jax.core.types import PRNGKeyArray
from unified_jax.data.document import Answer, Document, Part, Text, check_prompt, is_blank
from unified_jax.data.plan import Span, count, skip
from unified_jax.sampling.answering import Answering
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
        self._committed = 0  # entries of the plan

    def open(self, plan: list[Span], lead: int) -> None:
        """plan: spans up to the next blank, which is the last."""
        self.blank = plan[-1]
        self.cursor, rest = skip(plan[:-1], self._committed)
        self.todo, self.lead = _hold_back(rest, lead)

    def ran(self, slots: int, *, left: list[Span]) -> None:
        """Spans of ``todo`` now take so many slots; those that are left do not."""
        self._committed += count(self.todo) - count(left)
        self.todo, self.length = left, self.length + slots

    def wrote(self, entries: int) -> None:
        """The fill has committed so many entries."""
        self._committed += entries
        self.length += entries


class Job:
    """A request being served, blank after blank.

    An ``Answer`` keeps its place in the document, behind what it has brought so far, until it ends.

    index: of the request. rows: the conditioned version first, then the null one if guided, then the one without its
    pictures if guided by them. fill: of the blank at hand.
    room: slots that it may take. key: what it draws from. ids: those of the blank so far. transcript: what they say;
    None in a picture. waited: ticks in a row that served others.
    """

    def __init__(self, index: int, request: Request, family: Any, params: Any):
        self.index, self.settings = index, request.settings
        self.document = family.encode([check_prompt(request.document)], params)[0]
        self.rows = [Row() for _ in range(request.settings.rows)]
        self._family, self._params, self._keys = family, params, request.rng
        if len(self.rows) > 2 and family.blind is None:
            raise ValueError(f"{family.name} is not guided by pictures: leave image_guidance_scale at 1")
        self._answering: Answering | None = None
        self.waited = 0
        self._open()

    @property
    def group(self) -> Hashable:
        """Jobs of one group can be served in one call."""
        return self.fill.group(self.rows[0].blank.sizes()[self.fill.stream])

    @property
    def need(self) -> int:
        """Slots of a cache row that are taken once the blank at hand is filled."""
        return self.room + max(row.length + count(row.todo) for row in self.rows)

    def _open(self) -> None:
        *given, blank = self.document[: _first_blank(self.document) + 1]
        most = self.settings.max_tokens
        if isinstance(blank, Answer):
            self._answering = self._answering or Answering(most, self.settings.max_images)
            blank, most = self._answering.blank, self._answering.tokens
        shown = Document([*given, blank], self.document.info)
        versions = (lambda document: document, self._family.null, self._family.blind)[: len(self.rows)]
        plans = [without_noised(self._family.write(version(shown))) for version in versions]
        self.fill, self.ids = self._family.fills[plans[0][-1].fill], []
        self.room = self.fill.room(most)
        for row, plan in zip(self.rows, plans):
            row.open(plan, self.fill.lead)
        self._keys, self.key = jax.random.split(self._keys)
        is_text = isinstance(blank, Text)
        self.transcript = Transcript(self._family.tokenizer.decode, self.settings.stop) if is_text else None

    def news(self) -> Text | None:
        """What has been written since the last time it was asked; None in a picture."""
        return self.transcript.news(self.ids) if self.transcript is not None else None

    def answer(self, values: np.ndarray, text: str | None = None) -> Part:
        """Puts what was made, [n ...], in the place of the blank at hand. text: what its ids say, if not all of them.

        Returns the finished picture, or of a text what ``news`` has not told yet.
        """
        if self.transcript is None:
            made = new = self._family.image(values, self._params, grid=self.rows[0].blank.grid)
        else:
            made = self._family.text(values)
            made = made if text is None else dataclasses.replace(made, text=text)
            new = self.transcript.rest(values, made.text)
        opened = text is None and bool(self.ids) and self.ids[-1] in self.fill.opens
        self._replace(*self._kept(made, opened=opened))
        return new

    def _kept(self, made: Part, *, opened: bool) -> list[Part]:
        """What stands in the place of the blank at hand once it is made."""
        if self._answering is None:
            return [made]
        self._answering = self._answering.after(made, opened=opened)
        kept = [] if isinstance(made, Text) and not len(made.values) else [made]
        return kept if self._answering is None else [*kept, Answer()]

    def proceed(self, capacity: int | None) -> bool:
        """Turns to the next blank, if there is one.

        capacity: slots of a row, if there is a limit; an ``Answer`` ends before a part that might not fit.
        """
        while any(map(is_blank, self.document)):
            self._open()
            if self._answering is None or capacity is None or self.need <= capacity:
                return True
            self._answering = None
            self._replace()
        return False

    def _replace(self, *parts: Part) -> None:
        """Puts parts in the place of the first blank."""
        at = _first_blank(self.document)
        self.document = Document([*self.document[:at], *parts, *self.document[at + 1 :]], self.document.info)


def _first_blank(document: Document) -> int:
    return next(i for i, part in enumerate(document) if is_blank(part))


def without_noised(spans: list[Span]) -> list[Span]:
    """Without the noised copies that only training shows; what is private entry by entry takes its places and stays."""
    return [span for span in spans if not (span.private and span.attend == "full") or span.fill is not None]


def _hold_back(spans: list[Span], entries: int) -> tuple[list[Span], list[Span]]:
    """The spans but for their last ``entries`` entries, and those entries (of a causal span of one stream)."""
    if not entries:
        return spans, []
    if not spans:
        raise ValueError("nothing stands before the blank text: give the document a part that the text follows")
    *given, last = spans
    if last.grid is not None:
        raise ValueError("a picture stands right before the blank, which must follow a word: put a text between them")
    head, tail = cut_span(last, count([last]) - entries)
    return [*given, head] if count([head]) else given, [tail]
