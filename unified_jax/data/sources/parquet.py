"""Parquet: records as rows of tables. pyarrow is imported by this module only (``pip install unified_jax[parquet]``).

A row group is the least that can be read, and the last few stay in memory: files of small groups (some hundred
pictures) are read well in any order, others in the stored one.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from unified_jax.data.document import BadRecord
from unified_jax.data.sources.example import Example
from unified_jax.data.sources.formats import find_files

GROUPS = 4  # that stay in memory


class Parquet:
    """``documents.Records``: column -> value. A picture is a column of bytes, of {"bytes", "path"} or of paths.

    paths: a file, a pattern, or several of one schema. columns: those that are read; None for all. key: the column
      that tells records apart; None for the place in the file.
    Raises FileNotFoundError where there is no file, ValueError for a damaged one and for a column that it lacks.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        columns: Sequence[str] | None = None,
        key: str | None = None,
    ):
        self._files, self._key = find_files(paths), key
        self.folder = self._files[0].parent
        self._columns = None if columns is None else list(columns)
        groups = [group for i, file in enumerate(self._files) for group in self._groups(i, file)]
        self._at = np.array([(file, group) for file, group, _ in groups], np.int64).reshape(-1, 2)
        self._ends = np.cumsum([rows for *_, rows in groups], dtype=np.int64)
        self._remember()

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def read(self, index: int) -> Example:
        """The row. Raises BadRecord where its group is damaged."""
        file, group, row = self._find(index)
        try:
            return self._group(file, group).slice(row, 1).to_pylist()[0]
        except (pyarrow.ArrowException, OSError) as error:
            raise BadRecord(f"cannot be read ({str(error).splitlines()[0]})") from None

    def place(self, index: int) -> str:
        """File, row group and row in it."""
        file, group, row = self._find(index)
        return f"{self._files[file]} row {row} of group {group}"

    def keys(self) -> Iterator[bytes]:
        """Of the column, or else names of files and numbers of rows."""
        for file in self._files:
            opened = pyarrow.parquet.ParquetFile(file)
            if self._key is None:
                yield from (f"{file.name} {row}".encode() for row in range(opened.metadata.num_rows))
            else:
                yield from (str(value).encode() for value in opened.read([self._key])[self._key].to_pylist())

    def _groups(self, number: int, file: Path) -> Iterator[tuple[int, int, int]]:
        try:
            opened = pyarrow.parquet.ParquetFile(file)
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{file}: not a readable Parquet file ({str(error).splitlines()[0]})") from None
        named = [*(self._columns or ()), *([] if self._key is None else [self._key])]
        if lacking := [name for name in named if name not in opened.schema_arrow.names]:
            raise ValueError(f"{file}: no column {lacking[0]!r}; it has {', '.join(opened.schema_arrow.names)}")
        for group in range(opened.metadata.num_row_groups):
            yield number, group, opened.metadata.row_group(group).num_rows

    def _find(self, index: int) -> tuple[int, int, int]:
        """File, row group and row in it."""
        at = int(np.searchsorted(self._ends, index, side="right"))
        file, group = self._at[at]
        return int(file), int(group), index - (int(self._ends[at - 1]) if at else 0)

    def _load(self, file: int, group: int) -> pyarrow.Table:
        return pyarrow.parquet.ParquetFile(self._files[file]).read_row_group(group, columns=self._columns)

    def _remember(self) -> None:
        self._group = functools.lru_cache(GROUPS)(self._load)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_group"}

    def __setstate__(self, state: dict[str, Any]):
        self.__dict__.update(state)
        self._remember()

    def __repr__(self) -> str:
        return f"Parquet({', '.join(map(str, self._files))})"
