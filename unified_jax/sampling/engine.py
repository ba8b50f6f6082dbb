"""Engine: a few rows of a cache that serve many requests at once, of different lengths, kinds and settings.

A host loop of long ticks. Each gives free rows to waiting requests, prefills what is given, and then runs one kind of
work (``sampling.schedule``): ids (``sampling.write``) or pictures (``sampling.draw`` and its like). Rows with other
work run empty slots meanwhile. A request draws from its own key and its rows see only themselves, so neither order nor
neighbours change what comes out. Every array has a static shape, and what differs between requests is data: nothing
compiles once each kind of tick has run.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from unified_jax.core import cache as caches
from unified_jax.core.sequence import Interleaved
from unified_jax.core.storage import Plain, Storage
from unified_jax.core.types import Int
from unified_jax.data.document import Document, Part
from unified_jax.data.plan import Cursor, Span
from unified_jax.sampling.extend import extend
from unified_jax.sampling.prefill import CHUNKS, chunk_size, first_chunk, pack_chunk, power_of_two, prefill, used
from unified_jax.sampling.requests import Job, Request
from unified_jax.sampling.schedule import next_jobs
from unified_jax.sampling.tick import TICKS
from unified_jax.sampling.write import TICK

SMALLEST = 64  # a cache that grows holds this many slots times a power of two
SHOW_EVERY = 16  # ids between calls of ``on_part``

OnPart = Callable[[int, Part], None]


class Engine:
    """Serves requests; keeps its cache, and so its compiled programs, between calls.

    model: anything with ``__call__(seq, cache)``, ``read``, ``apart`` and a ``family``. rows: of the cache; a request
      takes one, two where it is guided, or three where by its pictures too. capacity: slots of a row; None lets the
      cache grow in powers of two, compiling anew.
    chunks: sizes of prefill, ascending. storage: how keys and values are kept. mesh: where the cache lives, if the
      parameters are sharded.
    """

    def __init__(
        self,
        model: Any,
        params: Any,
        *,
        rows: int = 8,
        capacity: int | None = None,
        chunks: Sequence[int] = CHUNKS,
        storage: Storage = Plain(),
        mesh: Mesh | None = None,
    ):
        if rows < 1:
            raise ValueError(f"rows must be 1 or more, found {rows}")
        self._model, self._rows = model, rows
        self._limit, self._chunks, self._mesh = capacity, chunks, mesh
        seq = pack_chunk([[]] * rows, model.family.streams, cursors=[Cursor() for _ in range(rows)], size=1)
        self._cache = self._place(_empty(model, params, seq=seq, capacity=capacity or SMALLEST, storage=storage))
        self._params = _apart(model, params, self._cache)

    def warm_up(self, requests: Sequence[Request]) -> None:
        """Compiles what serving can need: prefill of every size, and the ticks of ``requests``, one of each kind."""
        smaller = 0
        for size in self._chunks:
            for rows in (1 << i for i in range(power_of_two(self._rows).bit_length())):
                if smaller < self._cache.capacity:
                    self._run([[]] * rows, numbers=[], cursors=[], size=size)
            smaller = size
        for request in requests:
            self.generate([request])

    def generate(self, requests: Sequence[Request], *, on_part: OnPart | None = None) -> list[Document]:
        """Documents with their blanks filled, in the order of the requests.

        on_part(index, part): called at the end of ticks with the new ids and words of a text, or a finished picture,
          of the request with that index.
        Raises ValueError for a request that cannot be served, before anything has run where that can be known.
        """
        jobs = [Job(i, request, self._model.family, self._params) for i, request in enumerate(requests)]
        for job in jobs:
            if len(job.rows) > self._rows:
                raise ValueError(
                    f"request {job.index} is guided and takes {len(job.rows)} rows, the engine has {self._rows}"
                )
        self._reserve(jobs)
        waiting, serving, free = deque(jobs), [], list(range(self._rows))
        while waiting or serving:
            serving += self._admit(waiting, free)
            self._cut(serving)
            self._prefill(serving)
            for job in self._tick(serving, waiting=bool(waiting), on_part=on_part):
                serving.remove(job)
                free += [row.number for row in job.rows]
            self._reserve(serving)
        return [job.document for job in jobs]

    def _admit(self, waiting: deque[Job], free: list[int]) -> list[Job]:
        """Gives free rows to the requests that came first."""
        admitted = []
        while waiting and len(waiting[0].rows) <= len(free):
            admitted.append(waiting.popleft())
            for row in admitted[-1].rows:
                row.number = free.pop(0)
        return admitted

    def _prefill(self, serving: Sequence[Job]) -> None:
        """Runs and commits whatever is given, a chunk of every row at a time."""
        while rows := [row for job in serving for row in job.rows if row.todo]:
            size = chunk_size([row.todo for row in rows], chunks=self._chunks)
            chunks, left = zip(*(first_chunk(row.todo, size) for row in rows))
            padded = [*chunks, *[[]] * (power_of_two(len(rows)) - len(rows))]
            lengths = self._run(padded, numbers=[r.number for r in rows], cursors=[r.cursor for r in rows], size=size)
            for row, spans, n in zip(rows, left, lengths):
                row.ran(int(n), left=spans)

    def _run(
        self, chunks: Sequence[list[Span]], *, numbers: list[int], cursors: list[Cursor], size: int
    ) -> Int[np.ndarray, "b"]:
        """Commits a chunk to each of the rows with these numbers; by how much each grew. Further chunks are idle."""
        idle = len(chunks) - len(numbers)
        cursors = [*cursors, *(Cursor() for _ in range(idle))]
        seq = pack_chunk(chunks, self._model.family.streams, cursors=cursors, size=size)
        rows = np.array([*numbers, *[self._rows] * idle], np.int32)
        self._cache = self._place(prefill(self._model, self._params, cache=self._cache, seq=seq, rows=rows))
        return used(seq)

    def _tick(self, serving: Sequence[Job], *, waiting: bool, on_part: OnPart | None) -> list[Job]:
        """Some work for the jobs whose turn it is; those that are finished."""
        jobs = next_jobs(serving)
        rows = sum(len(job.rows) for job in jobs)
        results, cache = TICKS[type(jobs[0].fill)](
            self._model,
            self._params,
            cache=self._cache,
            jobs=jobs,
            steps=SHOW_EVERY if on_part else TICK,
            # While others wait, a few rows that have ended are better given away than kept until all have.
            enough=-(-rows // 4) if waiting else rows,
        )
        self._cache = self._place(cache)
        ended = {result.job.index: result for result in results}
        for job in jobs:
            new = ended[job.index].put() if job.index in ended else job.news()
            if on_part is not None and new is not None:
                on_part(job.index, new)
        return [result.job for result in results if not result.job.proceed(self._limit)]

    def _cut(self, serving: Sequence[Job]) -> None:
        """Empties rows that changed hands, and takes back what was written beyond a stop string."""
        length = np.zeros(self._rows, np.int32)
        for job in serving:
            for row in job.rows:
                length[row.number] = row.length + len(job.ids)
        self._cache = self._place(_cut(self._cache, length))

    def _reserve(self, jobs: Sequence[Job]) -> None:
        """Makes sure that the blanks at hand fit the cache."""
        most = max(jobs, key=lambda job: job.need, default=None)
        if most is None or most.need <= self._cache.capacity:
            return
        if self._limit is not None:
            raise ValueError(
                f"request {most.index} needs {most.need} slots for what is given and the answer; a row of the cache "
                f"has {self._limit}: shorten it, lower max_tokens or raise capacity"
            )
        self._cache = self._place(_grow(self._cache, SMALLEST * power_of_two(-(-most.need // SMALLEST))))

    def _place(self, cache: caches.Cache) -> caches.Cache:
        return cache if self._mesh is None else jax.device_put(cache, caches.shardings(cache, self._mesh))


@partial(jax.jit, static_argnames=("model", "capacity", "storage"))
def _empty(model: Any, params: Any, *, seq: Interleaved, capacity: int, storage: Storage) -> caches.Cache:
    """An empty cache with a row for each of ``seq``, which is run for its shapes alone."""
    _, kv, _ = extend(model, params, seq=seq)
    return caches.empty(kv, capacity, storage=storage)


@partial(jax.jit, static_argnames="model")
def _apart(model: Any, params: Any, cache: caches.Cache) -> Any:
    """The parameters, once for all programs, which would copy every layer's in each of their runs."""
    return model.apart(params, cache)[0]


_cut = jax.jit(caches.cut, donate_argnums=0)
_grow = jax.jit(caches.grow, static_argnums=1)
