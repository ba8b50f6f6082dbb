"""Documents: a source over records that are stored somewhere, in any format and any layout, split and shuffled.

    Documents(Jsonl("mine.jsonl"), split="train", shuffle=0)
    Documents(Parquet("data/*.parquet"), DocumentFrom([ImageFrom("image"), TextFrom("caption", target=True)]))

Which side of a split a record is on is decided by a hash of the record, so it stays there when others come or go.
"""

import hashlib
import operator
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from unified_jax.data.document import BadRecord, Document, check
from unified_jax.data.sources.example import Example
from unified_jax.data.sources.spelled import Spelled

SPLITS = ("all", "train", "held_out")


@runtime_checkable
class Records(Protocol):
    """Stored records that can be read in any order. folder: where the paths in them begin."""

    folder: Path

    def __len__(self) -> int: ...

    def read(self, index: int) -> Example:
        """Raises BadRecord for one that cannot be read."""

    def place(self, index: int) -> str:
        """Where a person finds the record."""

    def keys(self) -> Iterable[bytes]:
        """What tells every record from others, in their order."""


class Documents:
    """A random-access source of documents, picklable where ``to_document`` is.

    to_document: what a record says; ``Spelled`` unless given.
    split: "all"; "held_out", about a share ``held_out`` of the records; or "train", the others.
    shuffle: a seed for the order; None keeps the stored one.

    An item raises BadRecord, naming its place, for a record that is no document to learn from. Raises ValueError for
    an unknown split, and one without records.
    """

    def __init__(
        self,
        records: Records,
        to_document: Callable[[Example], Document] | None = None,
        *,
        split: str = "all",
        held_out: float = 0.05,
        shuffle: int | None = None,
    ):
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; choose {', '.join(SPLITS)}")
        if not 0 <= held_out <= 1:
            raise ValueError(f"held_out is a share between 0 and 1, found {held_out}")
        self._records, self._to_document = records, to_document or Spelled(records.folder)
        self._order = np.arange(len(records))
        if split != "all":
            aside = np.array([_draw(key) < held_out for key in records.keys()], bool)
            self._order = np.flatnonzero(aside == (split == "held_out"))
        if not len(self._order):
            raise ValueError(f"{records!r} has no records in split {split!r} of {len(records)} (held_out={held_out})")
        if shuffle is not None:
            self._order = np.random.default_rng(shuffle).permutation(self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> Document:
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside a source of {len(self)} documents")
        stored = int(self._order[index])
        try:
            return check(self._to_document(self._records.read(stored)))
        except BadRecord as error:
            raise BadRecord(f"{self._records.place(stored)}: {error}") from None

    def __repr__(self) -> str:
        return f"Documents({self._records!r})"


def _draw(key: bytes) -> float:
    """A number from 0 to 1 that depends on the key alone."""
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2**64
