"""Emoji: real pictures with names, keywords, groups and edit pairs, as documents to draw, caption, answer and edit.

    source = Emoji(split="train", holdout="combinations", resolution=32, tasks={"draw": 2, "edit": 1})
    source[0]  # Document(Text("woman singer: dark skin tone"), Image(target=True))

A document is a function of (the fields, index) alone, so that Grain can read in any order and resume exactly.
"""

import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from unified_jax.data.document import Document, Image, Text
from unified_jax.data.sources import emoji_assets as assets
from unified_jax.data.sources import emoji_splits as splits
from unified_jax.data.sources import emoji_text as text

# Pale, so that pictures of every colour stand out.
BACKGROUNDS = {
    "white": (255, 255, 255),
    "grey": (200, 200, 200),
    "pink": (255, 214, 224),
    "beige": (240, 226, 200),
    "mint green": (205, 240, 215),
    "sky blue": (200, 228, 255),
    "lavender": (225, 212, 250),
    "black": (0, 0, 0),
}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Emoji:
    """A random-access source of emoji documents, for ``grain.MapDataset.source`` or ``grain.DataLoader``.

    resolution: pixels on a side. split: "train" or "held_out", of ``holdout``: see ``emoji_splits``. An edit pair
      trains if both its pictures do, and is held out if the picture after is.
    styles: drawing styles, among ``emoji_assets.STYLES``. Where training sees several, the captions name the style.
    tasks: weight of each task, among ``TASKS``.
    kinds: the kinds of edit, among those of ``emoji_assets.edits()``; None for all.
    backgrounds: names among ``BACKGROUNDS``, drawn evenly. Where there are several, the captions name the colour.
    seed: not negative; orders the pictures and draws tasks, questions and backgrounds.
    length: number of documents. None: as many as the longest task has pictures or pairs. Within any such run of
      indices, a single-task source shows each of its pictures or pairs once.

    Raises ValueError, naming what is allowed, for an unknown name or a task for which the split has nothing.
    """

    resolution: int = assets.SIZE
    split: str = "train"
    holdout: str = "random"
    styles: Sequence[str] = ("noto",)
    tasks: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"draw": 1, "caption": 1, "keywords": 1, "question": 1, "edit": 1}
    )
    kinds: Sequence[str] | None = None
    backgrounds: Sequence[str] = ("white",)
    seed: int = 0
    length: int | None = None
    # Per task, the (style, id) pictures or (style, Edit) pairs it shows, shuffled; and the cumulative weights.
    _items: Mapping[str, Sequence[tuple[str, Any]]] = dataclasses.field(init=False, repr=False)
    _thresholds: np.ndarray = dataclasses.field(init=False, repr=False)
    _length: int = dataclasses.field(init=False, repr=False)

    def __post_init__(self):
        self._check()
        items = {task: self._shuffled(_ITEMS[task](self)) for task, weight in self.tasks.items() if weight > 0}
        for task, shown in items.items():
            if not shown:
                raise ValueError(f"no emoji for task {task!r} in split {self.split!r} of holdout {self.holdout!r}")
        weights = np.array([self.tasks[task] for task in items], np.float64)
        object.__setattr__(self, "_items", items)
        object.__setattr__(self, "_thresholds", np.cumsum(weights) / weights.sum())
        object.__setattr__(self, "_length", self.length or max(map(len, items.values())))

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Document:
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside a source of {len(self)} documents")
        rng = np.random.default_rng((self.seed, index))
        task = list(self._items)[np.searchsorted(self._thresholds[:-1], rng.random(), side="right")]
        style, item = self._items[task][index % len(self._items[task])]
        return TASKS[task](_Page(self, style, self.backgrounds[rng.integers(len(self.backgrounds))]), item, rng)

    def _check(self):
        _known("task", self.tasks, TASKS)
        _known("background", self.backgrounds, BACKGROUNDS)
        _known("style", self.styles, assets.STYLES)
        _known("kind of edit", self.kinds or (), dict.fromkeys(edit.kind for edit in assets.edits()))
        if not all(weight >= 0 for weight in self.tasks.values()) or not sum(self.tasks.values()) > 0:
            raise ValueError(f"emoji task weights must not be negative, nor all zero: {dict(self.tasks)}")
        for name, least in (("resolution", 1), ("seed", 0), ("length", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"emoji {name} must be at least {least}, found {value}")
        for name in ("styles", "backgrounds"):
            if not getattr(self, name):
                raise ValueError(f"emoji {name} must name at least one")

    def _shuffled(self, items: Sequence) -> Sequence:
        return [items[i] for i in np.random.default_rng(self.seed).permutation(len(items))]

    def _pictures(self) -> Sequence[tuple[str, str]]:
        return splits.pictures(self.split, holdout=self.holdout, styles=self.styles)

    def _edits(self) -> Sequence[tuple[str, assets.Edit]]:
        # Which side a pair is on depends on its result alone, except that no held-out picture may be seen in training.
        after = set(self._pictures())
        before = after if self.split == "train" else {(style, id) for style in self.styles for id in assets.rows(style)}
        edits = [edit for edit in assets.edits() if self.kinds is None or edit.kind in self.kinds]
        return [
            (style, edit)
            for style in self.styles
            for edit in edits
            if (style, edit.before) in before and (style, edit.after) in after
        ]


@dataclasses.dataclass(frozen=True)
class _Page:
    """What all pictures of one document share: style and background, and whether its words must name them."""

    source: Emoji
    style: str
    background: str

    def image(self, id: str, *, target: bool = False) -> Image:
        sprite = assets.sprite(self.style, id, resolution=self.source.resolution)
        return Image(assets.composite(sprite, BACKGROUNDS[self.background]), target=target)

    def caption(self, record: assets.Record, *, target: bool = False) -> Text:
        # Under the style holdout training has a single style, and a name it never saw would explain nothing.
        several_styles = len(self.source.styles) > 1 and self.source.holdout != "style"
        style = self.style if several_styles else None
        return Text(text.qualify(record.caption, style=style, background=self.named_background), target=target)

    @property
    def named_background(self) -> str | None:
        return self.background if len(self.source.backgrounds) > 1 else None

    def document(self, task: str, parts: Sequence, *, record: assets.Record, kind: str = "", **info: str) -> Document:
        facts = {"task": task, "id": record.id, "caption": record.caption, "kind": kind}
        facts |= {"style": self.style, "background": self.background}
        return Document(parts, facts | info)


def _draw(page: _Page, id: str, rng: np.random.Generator) -> Document:
    record = assets.records()[id]
    return page.document("draw", [page.caption(record), page.image(id, target=True)], record=record)


def _caption(page: _Page, id: str, rng: np.random.Generator) -> Document:
    record = assets.records()[id]
    return page.document("caption", [page.image(id), page.caption(record, target=True)], record=record)


def _keywords(page: _Page, id: str, rng: np.random.Generator) -> Document:
    record = assets.records()[id]
    parts = [page.image(id), Text(text.KEYWORDS_QUESTION), Text(", ".join(record.tags), target=True)]
    return page.document("keywords", parts, record=record)


def _question(page: _Page, id: str, rng: np.random.Generator) -> Document:
    record = assets.records()[id]
    asked = text.questions(record, background=page.named_background)
    kind, question, answer = asked[rng.integers(len(asked))]
    parts = [page.image(id), Text(question), Text(answer, target=True)]
    return page.document("question", parts, record=record, kind=kind)


def _edit(page: _Page, edit: assets.Edit, rng: np.random.Generator) -> Document:
    after = assets.records()[edit.after]
    instruction = Text(text.instruction(edit.kind, after))
    parts = [page.image(edit.before), instruction, page.image(edit.after, target=True)]
    return page.document("edit", parts, record=after, kind=edit.kind, before=edit.before)


# How each task writes its document, and what it writes about.
TASKS: dict[str, Callable[[_Page, Any, np.random.Generator], Document]] = {
    "draw": _draw,
    "caption": _caption,
    "keywords": _keywords,
    "question": _question,
    "edit": _edit,
}
_ITEMS = dict.fromkeys(TASKS, Emoji._pictures) | {"edit": Emoji._edits}


def _known(what: str, names, allowed):
    unknown = [name for name in names if name not in allowed]
    if unknown:
        raise ValueError(f"unknown emoji {what} {unknown[0]!r}: choose among {', '.join(allowed)}")
