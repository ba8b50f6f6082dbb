"""Distinct: the first documents of a source that ask different things, so that every one is a trial of its own."""

import dataclasses
import functools
from collections.abc import Iterator

from unified_jax.data.document import Document, Image
from unified_jax.data.guard import Source

PATIENCE = 10  # repeats in a row, for each document found, after which there are taken to be no more


@dataclasses.dataclass(frozen=True, eq=False)
class Distinct:
    """At most ``n`` documents of ``source``, no two with the same prompt; fewer where there are no more.

    The same prompt twice is one trial counted twice: it would make the interval of a score too narrow.
    """

    source: Source
    n: int

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, index: int) -> Document:
        return self._documents[index]

    @functools.cached_property
    def _documents(self) -> tuple[Document, ...]:
        return tuple(self._found())

    def _found(self) -> Iterator[Document]:
        seen: set[tuple] = set()
        repeats = 0
        for i in range(len(self.source)):
            if len(seen) == self.n or repeats > PATIENCE * len(seen):
                return
            document = self.source[i]
            prompt = tuple(_content(part) for part in document if not part.target)
            repeats = repeats + 1 if prompt in seen else 0
            if not repeats:
                seen.add(prompt)
                yield document


def _content(part) -> str | bytes:
    return part.pixels.tobytes() if isinstance(part, Image) else part.text
