"""Jsonl: records as lines of JSON, one object each, in UTF-8. Lines are found once, and read from disk when asked for.

{"parts": [{"image": "cat.png"}, {"text": "A cat.", "target": true}]}
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from unified_jax.data.document import BadRecord
from unified_jax.data.sources.example import Example
from unified_jax.data.sources.formats import find_files


class Jsonl:
    """``documents.Records``. Blank lines are no records; a record's key is its line.

    paths: a file, a pattern, or several. folder: where paths of pictures begin, that of the first file unless given.
    Raises FileNotFoundError where there is no file, ValueError where no line is written.
    """

    def __init__(self, paths: str | Path | Sequence[str | Path], *, folder: str | Path | None = None):
        self._files = find_files(paths)
        self.folder = self._files[0].parent if folder is None else Path(folder)
        where = [(i, *line) for i, file in enumerate(self._files) for line in _lines(file)]
        if not where:
            raise ValueError(f"{self._files[0]}: holds no lines")
        self._where = np.array(where, np.int64)  # file, number of the line, first byte

    def __len__(self) -> int:
        return len(self._where)

    def read(self, index: int) -> Example:
        """The object on the line. Raises BadRecord where it is none."""
        try:
            record = json.loads(self._line(index).decode("utf-8-sig"))
        except ValueError as error:
            raise BadRecord(f"not JSON in UTF-8 ({error})") from None
        if not isinstance(record, dict):
            raise BadRecord(f"a line must hold an object, found {type(record).__name__}")
        return record

    def place(self, index: int) -> str:
        """File and line."""
        file, number, _ = self._where[index]
        return f"{self._files[file]} line {number}"

    def keys(self) -> Iterator[bytes]:
        """The lines."""
        return (self._line(index).strip() for index in range(len(self)))

    def _line(self, index: int) -> bytes:
        file, _, start = self._where[index]
        with self._files[file].open("rb") as opened:
            opened.seek(start)
            return opened.readline()

    def __repr__(self) -> str:
        return f"Jsonl({', '.join(map(str, self._files))})"


def _lines(file: Path) -> Iterator[tuple[int, int]]:
    """Number, from 1, and first byte of every line that is not blank."""
    start = 0
    with file.open("rb") as opened:
        for number, line in enumerate(opened, 1):
            if line.strip():
                yield number, start
            start += len(line)
