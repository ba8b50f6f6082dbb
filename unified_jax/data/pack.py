"""pack: rows of planned documents -> one Interleaved batch of static shape (numpy)."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unified_jax.core.sequence import Interleaved, Payload, Slots, offsets
from unified_jax.data.plan import Cursor, Span, count, sizes

AXES = 3  # sequence index, row, column


@dataclasses.dataclass(frozen=True)
class Stream:
    """What packing must know of a stream: its lane, the shape and type of one entry, and whether it is told something
    besides.
    """

    lane: str
    shape: tuple[int, ...] = ()
    dtype: Any = np.int32
    told: bool = False


@dataclasses.dataclass(frozen=True)
class Layout:
    """Static sizes of a packed row: slots of every lane, entries of every stream."""

    capacity: Mapping[str, int]
    room: Mapping[str, int]

    def __post_init__(self):
        object.__setattr__(self, "capacity", dict(self.capacity))
        object.__setattr__(self, "room", dict(self.room))

    def need(self, spans: list[Span], streams: Mapping[str, Stream]) -> dict[tuple[str, str], int]:
        """What a document takes of the row: {("lane" | "stream", name): count}. Unknown streams raise ValueError."""
        need = {("lane", lane): 0 for lane in self.capacity}
        for stream, n in sizes(spans).items():
            if stream not in self.room:
                raise ValueError(f"the layout has no room for stream {stream!r}; it has {sorted(self.room)}")
            need["stream", stream] = n
            need["lane", streams[stream].lane] += n
        return need

    def size(self) -> dict[tuple[str, str], int]:
        """All there is of each lane and stream, keyed like ``need``."""
        lanes = {("lane", lane): n for lane, n in self.capacity.items()}
        return lanes | {("stream", stream): n for stream, n in self.room.items()}


def pack(
    rows: Sequence[Sequence[list[Span]]],
    streams: Mapping[str, Stream],
    layout: Layout,
    *,
    cursors: Sequence[Cursor] | None = None,
) -> Interleaved:
    """rows: for every batch row, its documents, each a list of spans -> numpy Interleaved.

    cursors: one per row, where its (single) document goes on; advanced in place. Generation packs a document piece by
      piece with it. The first entry of a piece has no predecessor in the batch: it reads itself, without weight.
    Raises ValueError when a row does not fit the layout, naming row, lane or stream and sizes.
    """
    writer = _Writer(len(rows), streams, layout)
    for b, documents in enumerate(rows):
        for number, spans in enumerate(documents, 1):
            cursor = cursors[b] if cursors is not None else Cursor()
            cursor.last = None  # a slot of an earlier piece means nothing in this batch
            for span in spans:
                writer.place(b, number, span, cursor)
    return writer.result()


def fill_rate(seq: Interleaved, streams: Mapping[str, Stream]) -> dict[str, float]:
    """The used fraction of every lane's slots and every stream's room; a room of no entries counts as full."""
    used = {f"lane/{name}": float(np.mean(slots.doc > 0)) for name, slots in seq.lanes.items()}
    for name, payload in seq.streams.items():
        padding = seq.lanes[streams[name].lane].capacity  # each lane has its own
        used[f"stream/{name}"] = float(np.mean(payload.slot < padding)) if payload.slot.size else 1.0
    return used


class _Writer:
    """The arrays of one batch while rows are written into them."""

    def __init__(self, batch: int, streams: Mapping[str, Stream], layout: Layout):
        self.streams, self.layout, self.start = streams, layout, offsets(layout.capacity)
        zeros = lambda n, dtype, *shape: np.zeros((batch, n, *shape), dtype)
        self.lanes = {
            lane: Slots(zeros(n, np.int32), zeros(n, np.int32), zeros(n, bool), zeros(n, np.int32, AXES))
            for lane, n in layout.capacity.items()
        }
        self.payloads = {
            name: Payload(
                values=zeros(n, streams[name].dtype, *streams[name].shape),
                slot=np.full((batch, n), layout.capacity[streams[name].lane], np.int32),
                read=zeros(n, np.int32),
                unit=zeros(n, np.int32),
                time=zeros(n, np.float32),
                weight=zeros(n, np.float32),
                told=zeros(n, np.int32) if streams[name].told else None,
            )
            for name, n in layout.room.items()
        }
        self.used = {lane: np.zeros(batch, int) for lane in layout.capacity}
        self.filled = {name: np.zeros(batch, int) for name in layout.room}
        self.units = {name: np.zeros(batch, int) for name in layout.room}

    def place(self, b: int, document: int, span: Span, cursor: Cursor) -> None:
        full, last, done = span.attend == "full", cursor.last, 0
        for name, values in span.parts:
            n = len(values)
            if not n:
                continue
            lane = self.streams[name].lane
            at, entry = self._take(b, lane, name, n)
            slots, payload = self.lanes[lane], self.payloads[name]
            flat = self.start[lane] + np.arange(at, at + n)
            each = np.arange(done, done + n)
            steps = np.repeat(np.arange(len(span.blocks)), span.blocks)[each] if span.blocks else 0
            steps = steps if full else each
            slots.doc[b, at : at + n] = document
            slots.block[b, at : at + n] = cursor.block + steps
            slots.private[b, at : at + n] = span.private
            slots.pos[b, at : at + n, 0] = cursor.index
            if span.extent is None:
                slots.pos[b, at : at + n, 0] += each if span.counted else steps
            if span.grid is not None and n == span.grid[0] * span.grid[1]:
                slots.pos[b, at : at + n, 1:] = np.indices(span.grid).reshape(2, n).T
            elif span.blocks and span.grid is None:
                slots.pos[b, at : at + n, 1:] = np.concatenate([_square(size) for size in span.blocks])
            payload.values[b, entry : entry + n] = values
            payload.slot[b, entry : entry + n] = np.arange(at, at + n)
            payload.unit[b, entry : entry + n] = self.units[name][b]
            learned = (each >= span.heading) & (each < count([span]) - span.closing)
            payload.weight[b, entry : entry + n] = learned & (span.learn in (True, name))
            if payload.told is not None:
                payload.told[b, entry : entry + n] = span.told
            if full:
                payload.read[b, entry : entry + n] = flat
            else:
                payload.read[b, entry : entry + n] = np.concatenate([[flat[0] if last is None else last], flat[:-1]])
                if last is None:
                    payload.weight[b, entry] = 0  # nothing in the batch precedes it
            last = flat[-1] if not (full and span.private) else last
            done += n
        for name, n in span.sizes().items():
            self.units[name][b] += n > 0
        cursor.advance(span)
        cursor.last = last

    def _take(self, b: int, lane: str, stream: str, n: int) -> tuple[int, int]:
        """Reserves n slots and n entries in row b; returns where they begin."""
        at, entry = self.used[lane][b], self.filled[stream][b]
        for what, begin, room in (
            (f"lane {lane!r}", at, self.layout.capacity[lane]),
            (f"stream {stream!r}", entry, self.layout.room[stream]),
        ):
            if begin + n > room:
                raise ValueError(f"row {b} does not fit: {what} has room for {room}, needs at least {begin + n}")
        self.used[lane][b] += n
        self.filled[stream][b] += n
        return int(at), int(entry)

    def result(self) -> Interleaved:
        return Interleaved(dict(self.lanes), dict(self.payloads))


def _square(entries: int) -> np.ndarray:
    """Row and column of each entry of a square, in raster order."""
    side = math.isqrt(entries)
    return np.indices((side, side)).reshape(2, entries).T
