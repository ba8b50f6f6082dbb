"""Reads a run folder into plain values. Every file is optional; a malformed one is a `ValueError` naming it."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Part:
    """One piece of a prompt, an output or a truth: words, or the path of a picture."""

    text: str = ""
    image: Path | None = None


@dataclass(frozen=True)
class Sample:
    """What the model wrote or drew for one prompt at one training step. `correct` is None when nobody judged it."""

    step: int
    task: str
    group: str
    prompt: tuple[Part, ...]
    output: tuple[Part, ...]
    truth: tuple[Part, ...]
    correct: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Score:
    """A measured value with the ends of its 95% interval and the number of cases; NaN or None where unknown."""

    value: float
    low: float = math.nan
    high: float = math.nan
    n: int | None = None

    @property
    def is_fraction(self) -> bool:
        """Whether the value can be read as a share of one, and so be drawn as a bar."""
        return 0.0 <= self.value <= 1.0

    @property
    def has_interval(self) -> bool:
        """Whether both ends of the interval are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class Evaluation:
    """The scores after `step` steps and `seconds` of training."""

    step: int
    seconds: float
    scores: Mapping[str, Score]


@dataclass(frozen=True)
class Run:
    """Everything a run folder says about itself."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    metrics: tuple[Mapping[str, Any], ...] = ()  # one per logged step, in order of steps
    evaluations: tuple[Evaluation, ...] = ()  # in order of steps
    scores: Mapping[str, Score] = field(default_factory=dict)  # the final ones
    figures: Mapping[str, Any] = field(default_factory=dict)  # the other entries of metrics.json
    samples: tuple[Sample, ...] = ()


def read_run(workdir: Path) -> Run:
    """Reads the run folder `workdir`."""
    if not workdir.is_dir():
        raise ValueError(f"{workdir}: not a run folder")
    final = _object(workdir / "metrics.json")
    evaluations = _evaluations(workdir / "scores.jsonl")
    scores = {name: read_score(entry) for name, entry in final.items() if isinstance(entry, dict) and "value" in entry}
    if not scores and evaluations:  # a run still under way, or killed: its latest evaluation stands in
        scores = evaluations[-1].scores
    return Run(
        name=workdir.resolve().name,
        config=_object(workdir / "config.json"),
        environment=_object(workdir / "environment.json"),
        metrics=tuple(_by_step(workdir / "metrics.jsonl")),
        evaluations=evaluations,
        scores=scores,
        figures={name: entry for name, entry in final.items() if isinstance(entry, int | float | str)},
        samples=_samples(workdir / "samples"),
    )


def read_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """The objects of a JSON-lines file. A last line without its newline (the run was killed) is skipped if broken."""
    if not path.exists():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                return
            raise ValueError(f"{path}, line {number}: not valid JSON ({error})") from error
        if not isinstance(entry, dict):
            raise ValueError(f"{path}, line {number}: expected an object, found {type(entry).__name__}")
        yield entry


def _json(path: Path, default: Any) -> Any:
    if not path.exists():
        return default
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(value, type(default)):
        raise ValueError(f"{path}: expected {type(default).__name__}, found {type(value).__name__}")
    return value


def _object(path: Path) -> dict[str, Any]:
    return _json(path, {})


def _by_step(path: Path) -> list[Mapping[str, Any]]:
    """A resumed run repeats the steps since its checkpoint: the later record of a step wins."""
    entries = {entry["step"]: entry for entry in read_lines(path) if "step" in entry}
    return [entries[step] for step in sorted(entries)]


def _evaluations(path: Path) -> tuple[Evaluation, ...]:
    return tuple(
        Evaluation(
            step=entry["step"],
            seconds=_number(entry.get("seconds")),
            scores={name: read_score(score) for name, score in entry.get("scores", {}).items()},
        )
        for entry in _by_step(path)
    )


def read_score(entry: Mapping[str, Any] | float | None) -> Score:
    """A score as it stands in a JSON file: an object, or a bare number."""
    if not isinstance(entry, dict):
        return Score(_number(entry))
    return Score(_number(entry.get("value")), _number(entry.get("low")), _number(entry.get("high")), entry.get("n"))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _samples(folder: Path) -> tuple[Sample, ...]:
    index = folder / "index.json"
    samples = []
    for number, entry in enumerate(_json(index, [])):
        try:
            samples.append(_sample(folder.resolve(), entry))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{index}, sample {number}: {type(error).__name__}: {error}") from error
    return tuple(samples)


def _sample(folder: Path, entry: Mapping[str, Any]) -> Sample:
    prompt, output, truth = (
        tuple(_part(folder, part) for part in entry.get(side) or ()) for side in ("prompt", "output", "truth")
    )
    return Sample(
        step=int(entry.get("step", 0)),
        task=entry["task"],
        group=entry.get("group", ""),
        prompt=prompt,
        output=output,
        truth=truth,
        correct=entry.get("correct"),
        note=entry.get("note") or "",
    )


def _part(folder: Path, entry: Mapping[str, str]) -> Part:
    if "image" not in entry:
        return Part(text=str(entry["text"]))
    path = (folder / entry["image"]).resolve()
    if not path.is_relative_to(folder):  # a page that is passed on must not carry files from elsewhere
        raise ValueError(f"picture {entry['image']!r} lies outside {folder}")
    return Part(image=path)
