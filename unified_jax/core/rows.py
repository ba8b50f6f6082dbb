"""Tables of measured figures as JSON: a list of rows, each with a ``name``."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unified_jax.core.files import write_text


def merge_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Adds rows to the file, in place of those of the same names; returns all rows, in order of their names.

    Raises ValueError where the file holds something else.
    """
    try:
        old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        named = {row["name"]: row for row in old}
    except (ValueError, TypeError, KeyError):
        raise ValueError(f"{path}: not a list of rows with names; move it away to start a new one") from None
    named |= {row["name"]: dict(row) for row in rows}
    merged = [named[name] for name in sorted(named)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(merged, indent=2) + "\n")
    return merged
