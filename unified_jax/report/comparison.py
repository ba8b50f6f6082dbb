"""The page of a study: `build_comparison(folder)` reads compare.json and the runs it names, and writes compare.html."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from unified_jax.report.page import TEMPLATES, blocks, template, write_page
from unified_jax.report.read import Sample, Score, read_run, read_score
from unified_jax.report.tradeoff import Line, Point, tradeoff_panel
from unified_jax.report.wording import label

_MOST_ROWS = 8


@dataclass(frozen=True)
class Measured:
    """One score of one variant: how it was drawn (empty for text), its cost, its mean and each seed's value."""

    way: str
    flops: float | None
    score: Score
    each: Sequence[float]
    cases: int


@dataclass(frozen=True)
class Table:
    """One question put to all variants. rows: (variant's title, measured). svg: quality against cost, if it costs."""

    title: str
    note: str
    rows: Sequence[tuple[str, Measured]]
    svg: Markup | None


@dataclass(frozen=True)
class Strip:
    """One prompt and what each variant made of it, None where it was not sampled."""

    prompt: str
    cells: Sequence[Sample | None]
    truth: Sequence[Any]


def build_comparison(folder: Path) -> Path:
    """Writes one self-contained page about the study in `folder`; ValueError where compare.json is not one's."""
    path = folder / "compare.json"
    if not path.is_file():
        raise ValueError(f"{folder}: not the folder of a study (it has no compare.json)")
    study = json.loads(path.read_text(encoding="utf-8"))
    variants = study["variants"]
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    html = template("compare.html.j2").render(
        study=study,
        titles=[variant["title"] for variant in variants.values()],
        tables=list(_tables(variants)),
        strips=list(_strips(folder, variants)),
        config=list(blocks(study["config"])),
        style=style,
    )
    return write_page(folder / "compare.html", html)


def _tables(variants: Mapping[str, Any]) -> Iterator[Table]:
    """A score `drawn@8 steps` is the question `drawn` answered in the way `8 steps`."""
    questions = dict.fromkeys(name.partition("@")[0] for v in variants.values() for name in v["scores"])
    for question in questions:
        lines, rows, note = [], [], ""
        for variant in variants.values():
            found = [(n, s) for n, s in variant["scores"].items() if n.partition("@")[0] == question]
            measured = [_measured(name, score) for name, score in found]
            rows += [(variant["title"], one) for one in measured]
            note = next((score["title"] for _, score in found), note)
            points = [Point(m.flops, m.score.value, m.score.low, m.score.high) for m in measured if m.flops]
            lines += [Line(variant["title"], sorted(points, key=lambda point: point.cost))] if points else []
        yield Table(label(question), note, rows, tradeoff_panel(lines) if lines else None)


def _measured(name: str, score: Mapping[str, Any]) -> Measured:
    return Measured(name.partition("@")[2], score.get("flops"), read_score(score), score["each"], score["cases"])


def _strips(folder: Path, variants: Mapping[str, Any]) -> Iterator[Strip]:
    """The same prompts drawn by every variant's first seed, each in its last (dearest) way."""
    drawn = [_drawn(folder / variant["runs"][0]) for variant in variants.values()]
    prompts = list(dict.fromkeys(prompt for samples in drawn for prompt in samples))[:_MOST_ROWS]
    for prompt in prompts:
        cells = [samples.get(prompt) for samples in drawn]
        truth = next((cell.truth for cell in cells if cell), ())
        yield Strip(prompt, cells, truth)


def _drawn(run: Path) -> dict[str, Sample]:
    samples = [sample for sample in read_run(run).samples if any(part.image for part in sample.output)]
    return {" ".join(part.text for part in sample.prompt): sample for sample in samples}
