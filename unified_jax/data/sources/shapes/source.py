"""Shapes: a random-access source of documents about procedural scenes, each a pure function of (seed, index)."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping

import numpy as np

from unified_jax.data.document import Document, Image, Text
from unified_jax.data.sources.shapes.edits import edit
from unified_jax.data.sources.shapes.language import caption
from unified_jax.data.sources.shapes.questions import KINDS, question
from unified_jax.data.sources.shapes.rendering import render
from unified_jax.data.sources.shapes.scene import MAX_THINGS, Scene, World
from unified_jax.data.sources.shapes.split import Combinations, combinations

EDIT_ATTEMPTS = 100  # scenes to try before an edit is declared impossible


@dataclasses.dataclass(frozen=True, eq=False)
class Shapes:
    """A Grain random-access source: ``source[index]`` is a Document.

    tasks: "task/number of things" -> weight, e.g. ``{"draw/1": 2, "draw/2": 1, "edit/2": 1}``; the tasks are
      draw: caption -> image, caption: image -> caption, question: image and question -> answer,
      edit: image and instruction -> image. An edit counts the things before it.
    questions: how many questions, each followed by its answer, are asked about one picture. One may be asked twice.
    often: how often each kind of question is asked, against 1 for kinds it does not name.
    split: ``train`` shows no held-out combination anywhere; ``held_out`` shows nothing else.
    length: how many documents there are; endless for training, the size of the set for an evaluation.

    ``info`` of a document holds task, count and scene; a question adds kind, that of the first one; an edit adds kind
    and before, and its scene is the one after. Raises ValueError for an unknown task or split, a number of things that
    the world cannot hold, an unknown kind of question, or weights that do not add up to something.
    """

    world: World = World()
    seed: int = 0
    split: str = "train"
    tasks: Mapping[str, float] = dataclasses.field(default_factory=lambda: dict.fromkeys(DEFAULT_TASKS, 1.0))
    length: int = 2**30
    questions: int = 1
    often: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        room = min(MAX_THINGS, len(self.allowed.by_place))
        for name in self.tasks:
            task, _, count = name.partition("/")
            if task not in TASKS or not count.isdecimal():
                allowed = ", ".join(f"{task}/N" for task in TASKS)
                raise ValueError(f"unknown task {name!r}; use {allowed} with N the number of things")
            if not 1 <= int(count) <= room:
                raise ValueError(f"task {name!r}: the {self.split} split of this world holds 1 to {room} things")
        if self.questions < 1:
            raise ValueError(f"questions must be 1 or more, found {self.questions}")
        if unknown := sorted(set(self.often) - set(KINDS)):
            raise ValueError(f"unknown kind of question {unknown[0]!r}; kinds are {', '.join(KINDS)}")
        if self.often and min(self.often.values()) <= 0:
            raise ValueError(f"often must be above 0 for every kind of question, got {dict(self.often)}")
        if not self.tasks or min(self.tasks.values()) < 0 or sum(self.tasks.values()) <= 0:
            raise ValueError(f"task weights must be non-negative with a positive sum, got {dict(self.tasks)}")

    @functools.cached_property
    def allowed(self) -> Combinations:
        """The combinations that this split may show."""
        return combinations(self.world, self.split)

    @functools.cached_property
    def _schedule(self) -> tuple[list[tuple[str, int]], np.ndarray]:
        names = [name.split("/") for name in self.tasks]
        cumulative = np.array(list(itertools.accumulate(self.tasks.values())))
        return [(task, int(count)) for task, count in names], cumulative / cumulative[-1]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Document:
        """The document at ``index``; raises IndexError outside 0 to ``length``."""
        if not 0 <= index < self.length:
            raise IndexError(f"index {index} is outside 0 to {self.length - 1}")
        rng = np.random.default_rng([self.seed, index])
        kinds, cumulative = self._schedule
        task, count = kinds[int(np.searchsorted(cumulative, rng.random(), side="right"))]
        return TASKS[task](self, self.allowed.scene(count, rng), rng)


def _draw(source: Shapes, scene: Scene, rng: np.random.Generator) -> Document:
    # The plain caption is the prompt: a verb would say nothing that the target image does not, and cost a token.
    parts = Text(caption(scene, source.world)), Image(render(scene, source.world), target=True)
    return Document(parts, {"task": "draw", "count": len(scene), "scene": scene})


def _caption(source: Shapes, scene: Scene, rng: np.random.Generator) -> Document:
    parts = Image(render(scene, source.world)), Text(caption(scene, source.world), target=True)
    return Document(parts, {"task": "caption", "count": len(scene), "scene": scene})


def _question(source: Shapes, scene: Scene, rng: np.random.Generator) -> Document:
    asked = [question(scene, source.world, rng, often=source.often) for _ in range(source.questions)]
    turns = [part for one in asked for part in (Text(one.text), Text(one.answer, target=True))]
    info = {"task": "question", "kind": asked[0].kind, "count": len(scene), "scene": scene}
    return Document([Image(render(scene, source.world)), *turns], info)


def _edit(source: Shapes, scene: Scene, rng: np.random.Generator) -> Document:
    for _ in range(EDIT_ATTEMPTS):
        done = edit(scene, source.world, source.allowed, rng)
        if done is not None:
            break
        scene = source.allowed.scene(len(scene), rng)
    else:
        raise ValueError(f"no edit of {len(scene)} things is possible in the {source.split} split of {source.world}")
    before, after = (render(scene, source.world) for scene in (done.before, done.after))
    parts = Image(before), Text(done.instruction), Image(after, target=True)
    info = {"task": "edit", "kind": done.kind, "count": len(scene), "scene": done.after, "before": done.before}
    return Document(parts, info)


TASKS = {"draw": _draw, "caption": _caption, "question": _question, "edit": _edit}
DEFAULT_TASKS = ("draw/1", "draw/2", "caption/1", "caption/2", "question/1", "question/2", "edit/1", "edit/2")
