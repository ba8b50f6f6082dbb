"""Chooses which samples stand where: groups of finished samples, and the same prompts over the steps of training."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from unified_jax.report.read import Part, Sample
from unified_jax.report.wording import label

K = TypeVar("K", bound=Hashable)

_MOST_TILES = 24
_MOST_CARDS = 12
_MOST_ROWS = 6
_MOST_COLUMNS = 7


@dataclass(frozen=True)
class Task:
    """How samples of one task are shown: as picture tiles, or as cards with three headed columns."""

    key: str
    title: str
    lead: str = ""
    columns: tuple[str, str, str] = ("prompt", "output", "truth")
    layout: Literal["tiles", "cards"] = "cards"


TASKS = (
    Task("draw", "Drawings", "Drawn from the words below each picture.", layout="tiles"),
    Task(
        "caption",
        "Captions",
        "The picture, what the model wrote about it, and the truth.",
        ("picture", "written", "truth"),
    ),
    Task("question", "Questions", "Asked about a picture and answered in words.", ("asked", "answered", "truth")),
    Task("copy", "Copies", "Pictures that went through the codes of the tokenizer.", ("picture", "copy", "truth")),
    Task("edit", "Edits", "A picture and an instruction in, the changed picture out.", ("before", "drawn", "truth")),
)


@dataclass(frozen=True)
class Group:
    """Samples under one heading, all from one step: those shown, and the counts over all of them."""

    heading: str
    step: int
    shown: tuple[Sample, ...]
    total: int
    judged: int
    right: int

    @property
    def summary(self) -> str:
        """How many there are, how many of them are right, and how many are shown."""
        right = (
            f"{self.right} of {self.judged} right"
            if self.judged
            else f"{self.total} sample{'s' if self.total > 1 else ''}"
        )
        return right if len(self.shown) == self.total else f"{right}; the first {len(self.shown)} of {self.total} shown"


@dataclass(frozen=True)
class Gallery:
    """All groups of one task."""

    task: Task
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Row:
    """One prompt, its output at each step (None where it was not sampled) and the truth."""

    prompt: tuple[Part, ...]
    cells: tuple[Sample | None, ...]
    truth: tuple[Part, ...]


@dataclass(frozen=True)
class Evolution:
    """The same prompts of one group at several steps."""

    heading: str
    steps: tuple[int, ...]
    rows: tuple[Row, ...]
    total: int

    @property
    def has_truth(self) -> bool:
        """Whether a column of true pictures is worth its room."""
        return any(part.image for row in self.rows for part in row.truth)


def galleries(samples: Sequence[Sample]) -> list[Gallery]:
    """One gallery per task, the known tasks first; each group shows its latest step, from its first sample on."""
    present = _split(samples, lambda sample: sample.task)
    order = [task.key for task in TASKS if task.key in present]
    tasks = [_task(key) for key in dict.fromkeys((*order, *present))]
    return [Gallery(task, tuple(_groups(task, present[task.key]))) for task in tasks]


def evolutions(samples: Sequence[Sample]) -> list[Evolution]:
    """The prompts that were drawn at two steps or more, group by group."""
    drawn = [sample for sample in samples if any(part.image for part in sample.output)]
    groups = _split(drawn, lambda sample: (sample.task, sample.group)).values()
    return [evolution for group in groups if (evolution := _evolution(group)).rows]


def _task(key: str) -> Task:
    return next((task for task in TASKS if task.key == key), Task(key, label(key)))


def _groups(task: Task, samples: Iterable[Sample]) -> Iterable[Group]:
    most = _MOST_TILES if task.layout == "tiles" else _MOST_CARDS
    for heading, group in _split(samples, lambda sample: sample.group).items():
        step = max(sample.step for sample in group)
        latest = [sample for sample in group if sample.step == step]
        judged = [sample.correct for sample in latest if sample.correct is not None]
        yield Group(heading, step, tuple(latest[:most]), len(latest), len(judged), sum(judged))


def _evolution(samples: Sequence[Sample]) -> Evolution:
    by_prompt = _split(samples, lambda sample: tuple(map(_content, sample.prompt)))
    histories = [{sample.step: sample for sample in reversed(group)} for group in by_prompt.values()]
    histories = [history for history in histories if len(history) > 1]
    steps = _spread(sorted({step for history in histories for step in history}), _MOST_COLUMNS)
    rows = tuple(_row(history, steps) for history in histories[:_MOST_ROWS])
    title, group = _task(samples[0].task).title, samples[0].group
    return Evolution(f"{title}: {group}" if group else title, tuple(steps), rows, len(histories))


def _row(history: dict[int, Sample], steps: Sequence[int]) -> Row:
    latest = history[max(history)]
    return Row(latest.prompt, tuple(history.get(step) for step in steps), latest.truth)


def _content(part: Part) -> str | bytes:
    """What makes two prompts the same: each step may save the same picture under another path."""
    return part.image.read_bytes() if part.image and part.image.is_file() else part.text


def _spread(values: list[int], most: int) -> list[int]:
    """At most `most` of the values, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return values
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _split(samples: Iterable[Sample], key: Callable[[Sample], K]) -> dict[K, list[Sample]]:
    groups: dict[K, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(key(sample), []).append(sample)
    return groups
