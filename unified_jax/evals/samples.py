"""Results as files: scores.jsonl, and samples/ with pictures and an index, as the report reads them."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image as Pillow

from unified_jax.core.files import write_text
from unified_jax.data.document import Document, Image, Part
from unified_jax.evals.benchmark import Result
from unified_jax.evals.interval import proportion


def write_scores(workdir: Path, results: Sequence[Result], *, step: int, seconds: float) -> dict[str, Any]:
    """Appends one line of scores; returns them by name."""
    scores = {result.benchmark.name: dataclasses.asdict(result.score) for result in results}
    with (workdir / "scores.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "seconds": seconds, "scores": scores}) + "\n")
    return scores


def write_samples(workdir: Path, results: Sequence[Result], *, step: int, limit: int) -> None:
    """Writes the first ``limit`` documents of every result and adds them to samples/index.json.

    Measures have no samples of their own: their documents are those of a benchmark that says right or wrong.
    """
    folder = workdir / "samples"
    index = folder / "index.json"
    records = json.loads(index.read_text(encoding="utf-8")) if index.exists() else []
    records = [record for record in records if record["step"] < step]
    for result in (result for result in results if result.benchmark.score is proportion):
        for i, (truth, made, correct) in enumerate(zip(result.benchmark.documents, result.outputs, result.correct)):
            if i == limit:
                break
            stem = f"step_{step:06d}/{result.benchmark.name}_{i:03d}"
            given = [part for part in truth if not part.target]
            records.append(
                {
                    "step": step,
                    "task": truth.info.get("task", "sample"),
                    "group": result.benchmark.title,
                    "prompt": _parts(folder, f"{stem}_prompt", given),
                    "output": _parts(folder, f"{stem}_output", made.targets),
                    "truth": _parts(folder, f"{stem}_truth", truth.targets),
                    "correct": bool(correct),
                }
            )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(index, json.dumps(records))


def write_document(folder: Path, stem: str, document: Document) -> list[dict[str, str]]:
    """A document's parts as JSON, its pictures beside it as PNG."""
    return _parts(folder, stem, document)


def _parts(folder: Path, stem: str, parts: Sequence[Part]) -> list[dict[str, str]]:
    described = []
    for i, part in enumerate(parts):
        if isinstance(part, Image):
            path = folder / f"{stem}_{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Pillow.fromarray(part.pixels).save(path)
            described.append({"image": str(path.relative_to(folder))})
        else:
            described.append({"text": part.text})
    return described
