"""Batches: documents of a random-access source -> packed batches, resumable to the exact document.

Each batch takes as many documents as fit. What does not fit waits for the next one, so the state of the iterator is
the next index and the indices of the waiting documents; nothing else needs saving.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import grain
import numpy as np
from absl import logging

from unified_jax.core.sequence import Interleaved
from unified_jax.data.document import Document
from unified_jax.data.pack import Layout, Stream, pack
from unified_jax.data.plan import Span, count

AHEAD = 1.3  # how much more than one batch waits, so that small documents are at hand to fill the gaps

PATIENCE = 1000  # documents too long for any row, one after another, before that is called a mistake of the config

Plan = Callable[[list[Document]], list[list[Span]]]


@dataclasses.dataclass(frozen=True)
class Packing:
    """How documents become batches.

    plan: documents -> their spans, many at a time. layouts: the static shapes to choose from; all hold ``rows`` rows.
    null: a document without its condition; used for a fraction ``null_rate`` of those with an image to draw, so that
      the model learns what classifier-free guidance subtracts (arXiv:2207.12598).
    """

    plan: Plan
    streams: dict[str, Stream]
    layouts: Sequence[Layout]
    rows: int
    null: Callable[[Document], Document] = lambda document: document
    null_rate: float = 0.0
    seed: int = 0

    def spans(self, source: Any, indices: Sequence[int]) -> list[list[Span]]:
        """The plans of some documents; a pure function of the index."""
        documents = []
        for index in indices:
            document = source[index % len(source)]
            draws = not all(hasattr(part, "text") for part in document.targets)
            # The 1 keeps these draws apart from those of sources, which may seed with (seed, index) too.
            if draws and np.random.default_rng([self.seed, index, 1]).random() < self.null_rate:
                document = self.null(document)
            documents.append(document)
        return self.plan(documents)


class Batches(grain.IterDataset[Interleaved]):
    """An endless Grain dataset of numpy Interleaved batches over ``source`` (``__len__``, ``__getitem__``).

    start, step: this process takes indices start, start + step, ... (one share for each process of a cluster).
    """

    def __init__(self, source: Any, packing: Packing, *, start: int = 0, step: int = 1):
        super().__init__()
        self.source, self.packing, self.start, self.step = source, packing, start, step

    def __iter__(self) -> "BatchIterator":
        return BatchIterator(self)


class BatchIterator(grain.DatasetIterator[Interleaved]):
    """First fit in the order of arrival, into the layout that this batch fills best."""

    def __init__(self, dataset: Batches):
        super().__init__()
        self._dataset, self._packing = dataset, dataset.packing
        self._next, self._held = dataset.start, []  # held: [(index, spans)]
        self._streams = self._packing.streams
        size = [np.array(list(layout.size().values())) for layout in self._packing.layouts]
        self._room = [np.tile(total, (self._packing.rows, 1)) for total in size]
        largest = max(sum(layout.capacity.values()) for layout in self._packing.layouts)
        self._slots = int(AHEAD * self._packing.rows * largest)

    def __next__(self) -> Interleaved:
        self._read()
        choices = [self._fit(layout, room) for layout, room in zip(self._packing.layouts, self._room)]
        rates = [taken / sum(layout.capacity.values()) for (_, taken), layout in zip(choices, self._packing.layouts)]
        best = int(np.argmax(rates))
        rows, layout = choices[best][0], self._packing.layouts[best]
        chosen = {position for row in rows for position in row}
        batch = pack([[self._held[i][1] for i in row] for row in rows], self._streams, layout)
        self._held = [held for i, held in enumerate(self._held) if i not in chosen]
        return batch

    def get_state(self) -> dict[str, Any]:
        return {"next": self._next, "held": [index for index, _ in self._held]}

    def set_state(self, state: dict[str, Any]) -> None:
        self._next = int(state["next"])
        indices = [int(index) for index in state["held"]]
        self._held = list(zip(indices, self._packing.spans(self._dataset.source, indices)))

    def _read(self) -> None:
        """Takes documents until the waiting ones could more than fill the largest layout."""
        waiting, misses = sum(count(spans) for _, spans in self._held), 0
        while waiting < self._slots:
            number = max(1, (self._slots - waiting) // 64)
            indices = [self._next + i * self._dataset.step for i in range(number)]
            self._next = indices[-1] + self._dataset.step
            for index, spans in zip(indices, self._packing.spans(self._dataset.source, indices)):
                if self._fits_alone(spans):
                    self._held.append((index, spans))
                    waiting, misses = waiting + count(spans), 0
                else:
                    misses += 1
                    logging.warning("document %d needs %d slots, more than any row has: left out", index, count(spans))
            if misses > PATIENCE:
                raise ValueError(f"the last {misses} documents are all longer than any row: enlarge packing.layouts")

    def _fits_alone(self, spans: list[Span]) -> bool:
        for layout in self._packing.layouts:
            size = layout.size()
            if all(n <= size[key] for key, n in layout.need(spans, self._streams).items()):
                return True
        return False

    def _fit(self, layout: Layout, room: np.ndarray) -> tuple[list[list[int]], int]:
        """Which waiting documents go in which row, and how many slots that fills."""
        free, rows, taken = room.copy(), [[] for _ in range(len(room))], 0
        keys = list(layout.size())
        for position, (_, spans) in enumerate(self._held):
            needs = layout.need(spans, self._streams)
            need = np.array([needs.get(key, 0) for key in keys])
            fits = (free >= need).all(1)
            row = int(fits.argmax())
            if fits[row]:
                free[row] -= need
                rows[row].append(position)
                taken += count(spans)
        return rows, taken
