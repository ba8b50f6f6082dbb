"""Guard: reads a random-access source past its bad records, counting and naming them, up to a limit.

A bad record at index i is replaced by the first good one of i + s, i + 2s, ... (mod n), where the stride s near n/phi
has no common divisor with n: a fixed sequence that visits every record, so that reading in any order, or resuming,
gives the same documents; and a bad stretch is replaced by many different records rather than by one neighbour.
"""

import logging
import math
import operator
import re
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import PIL.Image

from unified_jax.data.document import BadRecord, Document, check

_LOG = logging.getLogger("unified_jax")
# Pillow reports damaged data as a bare OSError; one without these words is the disk's fault, not the record's.
_DAMAGED = re.compile(
    r"truncated|broken data stream|unrecognized data stream|broken PNG|bad image|cannot identify", re.I
)


class TooManyBadRecords(RuntimeError):
    """A source has more bad records than its config allows."""


@runtime_checkable
class Source(Protocol):
    """What Grain calls a random-access data source, of documents."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Document: ...


class Guard:
    """A source of the same length as ``source``, in which every document is good.

    limit: how many bad records to tolerate. A record counts once, however often it is asked for, and the count is of
      this process: Grain's worker processes each count what they read.
    check: returns the document, or raises BadRecord.

    ``guard[index]`` raises TooManyBadRecords once more than ``limit`` records were found bad, or all of them.
    Errors that are not the record's fault (a missing file, a bug in the source) are passed on.
    """

    def __init__(self, source: Source, *, limit: int, check: Callable[[Document], Document] = check):
        if limit < 0:
            raise ValueError(f"the limit of bad records must not be negative, found {limit}")
        self._source = source
        self._limit = limit
        self._check = check
        self._stride = _stride(len(source))
        self._bad: dict[int, str] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Document:
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside a source of {len(self)} documents")
        for step in range(len(self)):
            document = self._read((index + step * self._stride) % len(self))
            if document is not None:
                return document
        raise TooManyBadRecords(f"all {len(self)} records of {self._source!r} are bad; the last: {self._last()}")

    @property
    def bad(self) -> Mapping[int, str]:
        """The bad records found so far: index -> reason."""
        with self._lock:
            return MappingProxyType(dict(self._bad))

    def _read(self, index: int) -> Document | None:
        if index not in self._bad:
            try:
                return self._check(self._source[index])
            except Exception as error:
                if not _is_damage(error):
                    raise
                self._report(index, str(error) or type(error).__name__)
        if len(self._bad) > self._limit:
            raise TooManyBadRecords(
                f"more than {self._limit} bad records in {self._source!r}; the last: {self._last()}. "
                "Repair the data or raise the limit."
            )
        return None

    def _report(self, index: int, reason: str):
        with self._lock:  # Two reader threads may meet the same bad record at once: count and log it once.
            if index in self._bad:
                return
            self._bad[index] = reason
            count = len(self._bad)
        _LOG.warning("skipped bad record %d: %s (%d of at most %d)", index, reason, count, self._limit)

    def _last(self) -> str:
        index, reason = list(self.bad.items())[-1]
        return f"record {index}, {reason}"

    def __repr__(self) -> str:
        return f"Guard({self._source!r}, limit={self._limit})"

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict):
        self.__dict__.update(state, _lock=threading.Lock())


def _is_damage(error: Exception) -> bool:
    if isinstance(
        error, BadRecord | PIL.UnidentifiedImageError | PIL.Image.DecompressionBombError | UnicodeDecodeError
    ):
        return True
    return isinstance(error, OSError | SyntaxError) and bool(_DAMAGED.search(str(error)))


def _stride(length: int) -> int:
    """A step near ``length`` divided by the golden ratio that visits every index before it repeats one."""
    stride = max(1, round(length * (math.sqrt(5) - 1) / 2))
    while math.gcd(stride, length) > 1:
        stride += 1
    return stride
