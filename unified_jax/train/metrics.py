"""Where a run's numbers go: JSON lines, TensorBoard, and a progress bar."""

import json
import math
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tensorboardX import SummaryWriter

from unified_jax.core.files import write_text


def write_json(path: Path, value: Any) -> None:
    """Writes one value, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(value, indent=2) + "\n")


def append_json(path: Path, record: dict[str, Any]) -> None:
    """One more line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def rewind_json(path: Path, step: int) -> None:
    """Drops the lines after ``step`` and a last one cut short by a kill: a resumed run writes them again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record["step"] <= step:
            kept.append(json.dumps(record) + "\n")
    write_text(path, "".join(kept))


class Log:
    """One run's metrics.jsonl, TensorBoard folder and progress bar; a context manager."""

    def __init__(self, workdir: Path, *, steps: int, step: int):
        self._path = workdir / "metrics.jsonl"
        rewind_json(self._path, step)
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=step)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"))
        self._task = self._bar.add_task("training", total=steps, completed=step, note="")

    def __enter__(self) -> "Log":
        self._bar.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bar.stop()
        self._board.close()

    def step(self, step: int, steps: int) -> None:
        """Moves the bar: ``step`` of ``steps`` are done."""
        self._bar.update(self._task, completed=step, total=steps)

    def write(self, step: int, values: dict[str, float]) -> None:
        """Records one logged step; a value that is not finite is null, since JSON has no word for it."""
        append_json(self._path, {"step": step, **{k: v if math.isfinite(v) else None for k, v in values.items()}})
        for name, value in values.items():
            self._board.add_scalar(name, value, step)
        shown = [name for name in values if name.startswith(("loss/", "codes/"))]
        parts = [f"{name.removeprefix('loss/')} {values[name]:.3f}" for name in shown]
        self._bar.update(self._task, completed=step, note="  ".join(parts))
