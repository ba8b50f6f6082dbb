"""Show: documents as rows of pictures and words, and the losses of a run as curves; for the notebooks beside it."""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from unified_jax.data.document import Image, Part


def show(*documents: Sequence[Part]) -> None:
    """One row for each document, its parts in reading order."""
    columns = max(map(len, documents))
    size = (2.4 * columns, 2.2 * len(documents))
    _, axes = plt.subplots(len(documents), columns, figsize=size, squeeze=False, layout="constrained")
    for row, document in zip(axes, documents):
        for axis in row:
            axis.axis("off")
        for axis, part in zip(row, document):
            _show_part(axis, part)
    plt.show()


def show_losses(workdir: str | Path) -> None:
    """Every stream's loss by step, on a logarithmic scale."""
    lines = [json.loads(line) for line in (Path(workdir) / "metrics.jsonl").read_text().splitlines()]
    _, axis = plt.subplots(figsize=(5, 2.5), layout="constrained")
    for name in (name for name in lines[0] if name.startswith("loss/")):
        axis.plot([line["step"] for line in lines], [line[name] for line in lines], label=name.removeprefix("loss/"))
    axis.set(xlabel="step", ylabel="loss", yscale="log")
    axis.legend()
    plt.show()


def _show_part(axis: Axes, part: Part) -> None:
    if isinstance(part, Image):
        axis.imshow(part.pixels, interpolation="nearest")
    else:
        words = textwrap.fill(part.text, 20) or "(no words)"
        axis.text(0.5, 0.5, words, ha="center", va="center", transform=axis.transAxes)
    axis.set_title("target" if part.target else "given", fontsize=9)
