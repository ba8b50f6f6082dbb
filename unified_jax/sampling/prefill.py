"""Prefill: run and commit what is given, in chunks of a few fixed sizes, so that any prompt meets a compiled program.

A chunk takes part in a call with the rows that have something to run; their number is a power of two, so that a new
request beside many that are writing costs little. A picture is one block whose slots see each other, so it is never
cut: where one is larger than the largest chunk, its chunk is the next power of two.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from unified_jax.core.cache import Cache, commit, take
from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Array, Int
from unified_jax.data.pack import Cursor, Layout, Stream, pack
from unified_jax.data.plan import Span, count

CHUNKS = (16, 32, 64, 128, 256)  # doubling leaves less than half of a chunk idle


@partial(jax.jit, static_argnames="model", donate_argnames="cache")
def prefill(model: Any, params: Any, *, cache: Cache, seq: Interleaved, rows: Int[Array, "b"]) -> Cache:
    """The cache with ``seq`` committed to some of its rows; numbers beyond the last row are padding."""
    output = model.apply({"params": params}, seq, take(cache, rows))
    return commit(cache, output.kv, output.slots, rows=rows)


def chunk_size(rows: Sequence[list[Span]], *, chunks: Sequence[int]) -> int:
    """Slots of the next chunk, one of ``chunks`` if it can be, of documents with these spans left to run."""
    longest = max(count(spans) for spans in rows)
    whole = max(0 if _may_cut(spans[0]) else count(spans[:1]) for spans in rows)
    need = max(min(longest, chunks[-1]), whole)
    return next((size for size in chunks if size >= need), power_of_two(need))


def first_chunk(spans: list[Span], size: int) -> tuple[list[Span], list[Span]]:
    """The spans that fit ``size`` slots and those that remain; only causal spans of one stream are cut."""
    chunk, rest = [], list(spans)
    while rest and size:
        n = count(rest[:1])
        if n <= size:
            chunk.append(rest.pop(0))
            size -= n
            continue
        if _may_cut(rest[0]):
            head, rest[0] = cut_span(rest[0], size)
            chunk.append(head)
        break
    return chunk, rest


def cut_span(span: Span, entries: int) -> tuple[Span, Span]:
    """A causal span of one stream in two, the first with so many entries."""
    ((stream, values),) = span.parts
    part = lambda values: dataclasses.replace(span, parts=((stream, values),))
    return part(values[:entries]), part(values[entries:])


def pack_chunk(
    rows: Sequence[list[Span]], streams: dict[str, Stream], *, cursors: Sequence[Cursor], size: int
) -> Interleaved:
    """One piece of a document in each row, ``size`` slots a lane, with room for every stream; advances the cursors.

    All streams take part in every chunk, though some stay empty: one program for each size, whatever is given.
    """
    lanes = {stream.lane: size for stream in streams.values()}
    return pack([[spans] for spans in rows], streams, Layout(lanes, dict.fromkeys(streams, size)), cursors=cursors)


def used(seq: Interleaved) -> Int[np.ndarray, "B"]:
    """By how many slots committing ``seq`` makes each row longer (``core.cache.commit``)."""
    return sum(np.sum(slots.doc > 0, axis=1) for slots in seq.lanes.values())


def power_of_two(n: int) -> int:
    """The least power of two that is n or more."""
    return 1 << max(0, n - 1).bit_length()


def _may_cut(span: Span) -> bool:
    return span.attend != "full" and len(span.parts) == 1 and span.grid is None
