"""The page of a study: kinds of runs side by side, `build_study(folder)` writes `folder/study.html`.

`study.json` holds a note on what is equal and, for each kind, the names of its runs and their figures: means over seeds
with intervals. Pictures are those of each kind's first run. The page needs nothing else.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from unified_jax.report import wording
from unified_jax.report.page import TEMPLATES, template, write_page
from unified_jax.report.read import Run, Sample, Score, read_run

MOST_ROWS = 8


@dataclass(frozen=True)
class Kind:
    """name: of the kind. scores: over its runs. runs: their folders' names. pictures: outputs of its first run."""

    name: str
    scores: Mapping[str, Score]
    runs: Sequence[str]
    pictures: Sequence[Sample]


def build_study(folder: str | Path) -> Path:
    """Writes the page and returns its path. Raises ValueError where the folder is not a study's."""
    folder = Path(folder)
    study = _read(folder)
    kinds = [_kind(folder, name, entry) for name, entry in study["kinds"].items()]
    names = list(dict.fromkeys(name for kind in kinds for name in kind.scores))
    style = Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))
    rows = list(zip(*(kind.pictures for kind in kinds)))[:MOST_ROWS]
    html = template("study.html.j2").render(
        note=study["note"], kinds=kinds, names=names, rows=rows, style=style, figure=_figure
    )
    return write_page(folder / "study.html", html)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "study.json"
    if not path.is_file():
        raise ValueError(f"{folder}: not the folder of a study (it has no study.json)")
    return json.loads(path.read_text(encoding="utf-8"))


def _kind(folder: Path, name: str, entry: Mapping[str, Any]) -> Kind:
    scores = {key: Score(x["value"], x["low"], x["high"], x["n"]) for key, x in entry["scores"].items()}
    return Kind(name, scores, entry["runs"], _pictures(read_run(folder / entry["runs"][0])))


def _pictures(run: Run) -> list[Sample]:
    """The last step's samples of the group that comes last before held-out ones: the hardest that was trained on."""
    last = max((sample.step for sample in run.samples), default=0)
    shown = [s for s in run.samples if s.step == last and s.output and s.output[0].image and "never" not in s.group]
    return [sample for sample in shown if sample.group == shown[-1].group] if shown else []


def _figure(score: Score) -> str:
    """The mean and half its interval."""
    if score.value >= 1e4:
        return wording.quantity(score.value)
    half = (score.high - score.low) / 2
    return f"{score.value:.3g}" if score.n == 1 else f"{score.value:.3g} ± {half:.2g}"
