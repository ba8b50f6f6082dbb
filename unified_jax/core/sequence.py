"""Interleaved: one batch of packed documents, as lanes (what attention sees) and streams (what is embedded).

A *lane* is a row of slots with a static capacity. A *stream* is one kind of content (text ids, image patches): every
entry names the slot it occupies, the slot whose state predicts it (``read``) and its loss weight. Everything a model
could want to ask a task or a paper about is an array here, so models and objectives ask neither.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.types import Leaf


@struct.dataclass
class Slots:
    """One lane: what the mask rule and the position embedding need, nothing more.

    doc: int32 [B T], document in the packed row, from 1; 0 marks an empty slot.
    block: int32 [B T], attention order inside the document (``core.mask``).
    private: bool [B T], seen only from its own block: a noised copy.
    pos: int32 [B T A], (sequence index, row, column).
    """

    doc: Leaf
    block: Leaf
    private: Leaf
    pos: Leaf

    @property
    def capacity(self) -> int:
        return self.doc.shape[1]


@struct.dataclass
class Draft:
    """What a per-entry head refines, beside the state it reads: values [B N P] at noise level time, float32 [B N]."""

    values: Leaf
    time: Leaf


@struct.dataclass
class Payload:
    """One stream: what to embed, where it goes, and what predicts it.

    values: int32 [B N] ids, or float [B N P] patches or latents.
    slot: int32 [B N], slot in the stream's lane; the lane's capacity T marks padding, which is dropped.
    read: int32 [B N], flat slot (lanes side by side in name order) whose state predicts this entry: its predecessor in
      autoregression, even in another stream; itself in denoising.
    unit: int32 [B N], which span of the row the entry belongs to: one noise level per unit.
    time: float32 [B N], noise level, 0 = clean data, 1 = noise.
    weight: float32 [B N], loss weight; 0 = context or padding.
    until: float32 [B N], the time that a network of average velocities is asked to lead to; None for any other.
    draft: shown to a head that takes one and never to the embedder; None where no head does.
    told: int32 [B N], what adaptive norms at the entry's slot are told, its class; None where no norm asks.
    """

    values: Leaf
    slot: Leaf
    read: Leaf
    unit: Leaf
    time: Leaf
    weight: Leaf
    until: Leaf = None
    draft: Draft | None = None
    told: Leaf = None


@struct.dataclass
class Interleaved:
    """A batch of packed documents: lanes by name, streams by name."""

    lanes: dict[str, Slots]
    streams: dict[str, Payload]

    def put(self, stream: str, **fields: Any) -> "Interleaved":
        """The same batch with ``fields`` of one stream replaced."""
        return self.replace(streams={**self.streams, stream: self.streams[stream].replace(**fields)})


def one_block(batch: int, length: int) -> Slots:
    """Slots that all see each other, each row by itself, and have no places."""
    ones = jnp.ones((batch, length), jnp.int32)
    return Slots(doc=ones, block=0 * ones, private=ones < 0, pos=jnp.zeros((batch, length, 3), jnp.int32))


def join(lanes: Mapping[str, Any]) -> Any:
    """Lanes side by side in name order: [B T_i ...] leaves become [B sum(T_i) ...]."""
    if len(lanes) == 1:
        return next(iter(lanes.values()))
    return jax.tree.map(lambda *xs: jnp.concatenate(xs, 1), *(lanes[name] for name in sorted(lanes)))


def split(x: Any, capacity: Mapping[str, int]) -> dict[str, Any]:
    """The inverse of ``join``: [B sum(T_i) ...] leaves become {lane: [B T_i ...]}."""
    starts = offsets(capacity)
    cut = lambda name: lambda leaf: jax.lax.slice_in_dim(leaf, starts[name], starts[name] + capacity[name], axis=1)
    return {name: jax.tree.map(cut(name), x) for name in sorted(capacity)}


def offsets(capacity: Mapping[str, int]) -> dict[str, int]:
    """Where each lane begins among the flat slots that ``read`` counts."""
    starts, start = {}, 0
    for name in sorted(capacity):
        starts[name] = start
        start += capacity[name]
    return starts


def check(seq: Interleaved) -> Interleaved:
    """Returns ``seq`` unchanged, or raises ValueError naming the first array whose shape or type does not fit."""
    batch = {slots.doc.shape[0] for slots in seq.lanes.values()} | {p.slot.shape[0] for p in seq.streams.values()}
    if len(batch) != 1:
        raise ValueError(f"every lane and stream must have one batch size, found {sorted(batch)}")
    for name, slots in seq.lanes.items():
        for field in ("doc", "block", "private"):
            if getattr(slots, field).shape != slots.doc.shape:
                raise ValueError(
                    f"lane {name!r}: {field} has shape {getattr(slots, field).shape}, not {slots.doc.shape}"
                )
        if slots.pos.shape[:-1] != slots.doc.shape:
            raise ValueError(f"lane {name!r}: pos has shape {slots.pos.shape}, expected {slots.doc.shape} + (axes,)")
    for name, payload in seq.streams.items():
        for field in ("read", "unit", "time", "weight"):
            if getattr(payload, field).shape != payload.slot.shape:
                found = getattr(payload, field).shape
                raise ValueError(f"stream {name!r}: {field} has shape {found}, expected {payload.slot.shape}")
        if payload.values.shape[:2] != payload.slot.shape:
            raise ValueError(f"stream {name!r}: values {payload.values.shape} do not fit slot {payload.slot.shape}")
    return seq
