"""Model: embed every stream into its lane, run the backbone, read predictions where each entry says.

The one assembly behind every family whose generation lives in the sequence. It knows no task, no paper and no phase:
those are arrays of the Interleaved batch (``core.sequence``) and the modules it was given.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.cache import Cache
from unified_jax.core.sequence import Interleaved, Slots, join
from unified_jax.core.types import Array, DTypeLike, Float, Leaf
from unified_jax.data.document import Part
from unified_jax.data.plan import Span
from unified_jax.models.family import Family
from unified_jax.nn.entries import by_lane


@struct.dataclass
class Output:
    """hidden: {lane: float [B T D]}; kv: the backbone's own keys and values; slots: the joined lanes they belong to."""

    hidden: dict[str, Leaf]
    kv: Any
    slots: Slots


class Model(nn.Module):
    """lane: stream -> lane. width: lane -> D. embed, heads: stream -> piece. backbone: a Stack or anything like it.

    condition: what adaptive norms are told, (embedded lanes, batch) -> {lane: [B T E]}; None for plain norms.
    codec: the family's own network, where pieces read it.
    family: how documents become spans and back; no part of the computation.
    """

    # The first to name a shared module: wherever pieces hold it, its parameters are ``params["codec"]``.
    codec: nn.Module | None = dataclasses.field(default=None, kw_only=True)
    lane: Mapping[str, str]
    width: Mapping[str, int]
    embed: Mapping[str, nn.Module]
    backbone: nn.Module
    heads: Mapping[str, nn.Module]
    family: Family
    condition: nn.Module | None = None
    dtype: DTypeLike = jnp.float32

    def __hash__(self) -> int:
        # By identity: a model is a static argument of the jitted sampler, and its dicts have no hash.
        return id(self)

    def plan(self, document: Sequence[Part], params: Mapping[str, Any] | None = None) -> list[Span]:
        """Spans of one document. params: needed only where the codec has weights."""
        return self.family.plan(document, params)

    @nn.nowrap
    def apart(self, params: Mapping[str, Any], cache: Cache) -> tuple[dict[str, Any], Cache]:
        """Parameters, and a cache to be read, as loops over many steps had better have them (``Stack.apart``)."""
        backbone, cache = self.backbone.apart(params["backbone"], cache)
        return {**params, "backbone": backbone}, cache

    def __call__(self, seq: Interleaved, cache: Cache | None = None) -> Output:
        seq = jax.tree.map(jnp.asarray, seq)
        xs = by_lane(seq, self.embed, lane=self.lane, width=self.width, dtype=self.dtype)
        query = join(seq.lanes)
        told = {} if self.condition is None else {"condition": self.condition(xs, seq)}
        hidden, kv = self.backbone(xs, slots=query, cache=cache, **told)
        return Output(hidden, kv, query)

    def predict(self, seq: Interleaved, cache: Cache | None = None) -> dict[str, Array]:
        """{stream: logits or predictions} at each entry's ``read``."""
        return self.read(self(seq, cache), jax.tree.map(jnp.asarray, seq))

    def read(self, output: Output, seq: Interleaved) -> dict[str, Array]:
        """Applies every stream's head to the states its entries read."""
        streams = sorted(set(self.heads) & set(seq.streams))
        return {name: self.heads[name](self.states(output, seq, name), seq.streams[name]) for name in streams}

    @nn.nowrap
    def states(self, output: Output, seq: Interleaved, stream: str) -> Float[Array, "B N D"]:
        """The states that the entries of a stream read."""
        states = join(output.hidden)
        batch, length, width = states.shape
        flat, row = states.reshape(batch * length, width), length * jnp.arange(batch)[:, None]
        return flat.at[row + seq.streams[stream].read].get(mode="promise_in_bounds")
