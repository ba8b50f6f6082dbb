"""Builds the page of a run: `build(run)` reads the folder and writes `run/report.html`, which needs nothing else."""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from unified_jax.report import wording
from unified_jax.report.gallery import Evolution, Gallery, evolutions, galleries
from unified_jax.report.pictures import picture, shown_width
from unified_jax.report.plots import Curve, line_panel, loss_axis, noisy, share_axis, zero_axis
from unified_jax.report.read import Run, read_run

TEMPLATES = Path(__file__).parent / "templates"
_FACTS = {
    "parameters": "parameters",
    "train_steps": "training steps",
    "train_minutes": "minutes of training",
    "total_minutes": "minutes in all",
}
_SPEED = {
    "slots_per_second": zero_axis,
    "fill_rate": share_axis,
    "mfu": share_axis,
    "learning_rate": zero_axis,
    "grad_norm": zero_axis,
    "codes/usage": share_axis,
    "codes/perplexity": zero_axis,
}


@dataclass(frozen=True)
class Chapter:
    """A run folder on the page, with a title of its own and a note on what the reader should know about it."""

    workdir: str | Path
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """A titled plot."""

    title: str
    svg: Markup


@dataclass(frozen=True)
class _View:
    """What the template shows of one chapter."""

    title: str
    note: str
    run: Run
    facts: list[tuple[str, str]]
    galleries: list[Gallery]
    picture_width: int
    evolutions: list[Evolution]
    losses: list[Panel]
    scores_over_time: list[Panel]
    speed: list[Panel]
    peak: float | None
    config: list[tuple[str, list[tuple[str, Any]]]]
    minutes: Mapping[int, float]


def build(
    run: str | Path | Chapter, out: str | Path | None = None, *, others: Sequence[str | Path | Chapter] = ()
) -> Path:
    """Writes one self-contained HTML page about `run`, followed by the `others`, and returns its path.

    Args:
      run: the run folder, or a `Chapter` to give it a title and a note.
      out: where to write; `report.html` in the folder of `run` by default.
      others: further runs for the same page, in order.
    """
    chapters = [entry if isinstance(entry, Chapter) else Chapter(entry) for entry in (run, *others)]
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    html = template("report.html.j2").render(chapters=[_view(c) for c in chapters], style=style)
    return write_page(Path(out) if out is not None else Path(chapters[0].workdir) / "report.html", html)


def template(name: str) -> jinja2.Template:
    """A page of `templates/`, with the filters that all of them use."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "label": wording.label,
        "percent": wording.percent,
        "quantity": wording.quantity,
        "plain": wording.plain,
        "picture": picture,
    }
    return environment.get_template(name)


def _view(chapter: Chapter) -> _View:
    run = read_run(Path(chapter.workdir))
    shown = galleries(run.samples)
    return _View(
        title=chapter.title or run.name,
        note=chapter.note,
        run=run,
        facts=[
            (wording.brief(run.figures[key]), name) for key, name in _FACTS.items() if _is_known(run.figures.get(key))
        ],
        galleries=shown,
        picture_width=_picture_width(shown),
        evolutions=evolutions(run.samples),
        losses=list(_panels(run, dict.fromkeys(_loss_keys(run), loss_axis))),
        scores_over_time=list(_score_panels(run)),
        speed=list(_panels(run, _SPEED)),
        peak=next((entry["peak_flops"] for entry in reversed(run.metrics) if entry.get("peak_flops")), None),
        config=list(blocks(run.config)),
        minutes=_minutes(run),
    )


def _picture_width(shown: Sequence[Gallery]) -> int:
    """The widest picture in the galleries: their columns make room for it."""
    samples = [sample for gallery in shown for group in gallery.groups for sample in group.shown]
    parts = [part for sample in samples for part in (*sample.prompt, *sample.output, *sample.truth)]
    return max((shown_width(part.image) for part in parts if part.image), default=0)


def _loss_keys(run: Run) -> list[str]:
    keys = dict.fromkeys(key for entry in run.metrics for key in entry)
    return [key for key in keys if key == "loss" or key.startswith("loss/")]


def _panels(run: Run, scales: Mapping[str, Callable]) -> Iterator[Panel]:
    for key, scale in scales.items():
        measured = [(entry["step"], entry[key]) for entry in run.metrics if _is_known(entry.get(key))]
        if measured:
            svg = line_panel(noisy(*zip(*measured)), x_label="step", scale=scale)
            yield Panel(wording.label(key), svg)


def _score_panels(run: Run) -> Iterator[Panel]:
    for name in dict.fromkeys(name for evaluation in run.evaluations for name in evaluation.scores):
        measured = [(e.seconds / 60, e.scores[name]) for e in run.evaluations if name in e.scores]
        scores = [score for _, score in measured]
        curve = Curve(
            x=[minute for minute, _ in measured],
            y=[score.value for score in scores],
            low=[score.low for score in scores],
            high=[score.high for score in scores],
            points=True,
        )
        shares = all(score.is_fraction for score in scores if math.isfinite(score.value))
        svg = line_panel(curve, x_label="minutes of training", scale=share_axis if shares else zero_axis)
        yield Panel(wording.label(name), svg)


def _minutes(run: Run) -> dict[int, float]:
    """Minutes of training at each step that was sampled, read off the two logs."""
    logged = [(entry["step"], entry.get("seconds")) for entry in run.metrics]
    logged += [(evaluation.step, evaluation.seconds) for evaluation in run.evaluations]
    clock = {step: seconds for step, seconds in logged if _is_known(seconds)}
    if not clock:
        return {}
    steps = sorted(clock)
    sampled = {sample.step for sample in run.samples if steps[0] <= sample.step <= steps[-1]}
    return {step: float(np.interp(step, steps, [clock[s] for s in steps])) / 60 for step in sampled}


def _is_known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def blocks(config: Mapping[str, Any]) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """The configuration as titled blocks: the plain values first, then one block per nested dict."""
    single = [(key, value) for key, value in config.items() if not isinstance(value, dict)]
    if single:
        yield "run", single
    for key, value in config.items():
        if isinstance(value, dict):
            yield key, list(_flatten(value))


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def write_page(path: Path, html: str) -> Path:
    """Whole or not at all: a reader never meets half a page. Returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    unfinished.write_text(html, encoding="utf-8")
    os.replace(unfinished, path)
    return path
