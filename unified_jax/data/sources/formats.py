"""Formats: which file holds records how, by its ending, and finding the files that a path means."""

import glob
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Imported when first used: Parquet needs pyarrow, which nobody else should have to install.
FORMATS = {
    ".jsonl": "unified_jax.data.sources.jsonl.Jsonl",
    ".parquet": "unified_jax.data.sources.parquet.Parquet",
    ".tar": "unified_jax.data.sources.webdataset.WebDataset",
}


def open_records(path: str | Path) -> Any:
    """The ``documents.Records`` of a file, or of all that a pattern like "data/*.tar" names.

    Raises ValueError for an ending that is not known, FileNotFoundError where there is no file.
    """
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise ValueError(f"{path}: cannot tell the format from {suffix!r}; known endings are {', '.join(FORMATS)}")
    module, _, name = FORMATS[suffix].rpartition(".")
    return getattr(importlib.import_module(module), name)(path)


def find_files(paths: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files of a path, of a pattern or of several of both, those of a pattern in order of their names.

    Raises FileNotFoundError for one that there is not.
    """
    found = []
    for path in [paths] if isinstance(paths, str | Path) else paths:
        files = (
            [Path(path)] if Path(path).is_file() else [Path(x) for x in sorted(glob.glob(str(path), recursive=True))]
        )
        if not files:
            raise FileNotFoundError(f"{path}: no such file")
        found += files
    return found
