"""Recorded parity: experiments/parity/results.json, and the README's table of it, between two markers."""

import fcntl
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unified_jax.core.files import write_text
from unified_jax.core.rows import merge_rows

BEGIN, END = "<!-- parity table: written by make parity -->\n", "<!-- end of the parity table -->"


def record(root: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replaces the rows of the same names, and renews the README's table. Processes that test at once take turns."""
    folder = root / "experiments" / "parity"
    turn = os.open(folder, os.O_RDONLY)
    fcntl.flock(turn, fcntl.LOCK_EX)
    try:
        update_readme(root / "README.md", merge_rows(folder / "results.json", rows))
    finally:
        os.close(turn)  # and with it the lock


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown, one line for each row."""
    lines = ["| name | compared | with | worst relative difference | tolerance |", "|---|---|---|---|---|"]
    for row in rows:
        figures = f"{row['worst_relative']:.1e} | {row['tolerance']:.0e}"
        lines.append(f"| `{row['name']}` | {row['what']} | {row['reference']} | {figures} |")
    return "\n".join(lines) + "\n"


def update_readme(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replaces what stands between the markers. Raises ValueError where the file lacks them."""
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{path} must have each marker once: {BEGIN.strip()} and {END}")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(path, before + BEGIN + table(rows) + END + after)


def shown(path: Path) -> str:
    """What stands between the markers."""
    return path.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
