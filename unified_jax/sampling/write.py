"""Write: ids one after another in all rows at once, each from the state of its predecessor; one jitted loop.

Rows that write text, rows that write the codes of a picture and rows that do neither share one program: what may
follow, when to stop and how to choose are arrays with an entry for each row.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from unified_jax.core.cache import Cache, commit
from unified_jax.core.noise import over
from unified_jax.core.sequence import Interleaved, Payload, Slots
from unified_jax.core.types import Array, Bool, Int, Leaf
from unified_jax.sampling.choose import choose
from unified_jax.sampling.constrain import may_follow, table
from unified_jax.sampling.extend import extend
from unified_jax.sampling.guidance import guide

TICK = 64  # most ids of one call


@struct.dataclass
class Pens:
    """Where every row is, [B] each.

    id: the last one, not yet run. before: what is run in its place before any is chosen, where blanks come after other
    streams, an entry of each. block, index: its place in the document. at: how many have been chosen in this blank.
    active: whether the row writes; the others run empty slots.
    """

    id: Leaf
    before: dict[str, Leaf]
    block: Leaf
    index: Leaf
    at: Leaf
    active: Leaf


@struct.dataclass
class Manners:
    """How every row chooses, [B] each.

    key: of the blank. fill: which of the fills. limit: most ids. temperature, top_k, top_p: as in ``choose``. scale,
    null: as in ``guide``. lead: the row whose choice this one takes: itself, or for a null row the conditioned one.
    """

    key: Leaf
    fill: Leaf
    limit: Leaf
    temperature: Leaf
    top_k: Leaf
    top_p: Leaf
    scale: Leaf
    null: Leaf
    lead: Leaf


@partial(jax.jit, static_argnames=("model", "fills"), donate_argnames="cache")
def write(
    model: Any,
    params: Any,
    *,
    fills: tuple[Any, ...],
    cache: Cache,
    pens: Pens,
    manners: Manners,
    steps: Int[Array, ""],
    enough: Int[Array, ""],
) -> tuple[Int[Array, "B n"], Pens, Cache]:
    """Ids chosen by each row from its ``pens.at`` on, the pens after them, and the cache with all but the last chosen.

    fills: the ``Autoregress`` fills that ``manners.fill`` counts, all of one stream. steps: most ids of this call, up
    to TICK. enough: the call ends early when so many rows have finished since it began.
    """
    ranges, stops = table([fill.allowed for fill in fills]), _stops(fills)
    writing = pens.active.sum()

    def unfinished(carry):
        i, _, pens, _ = carry
        return (i < steps) & pens.active.any() & (writing - pens.active.sum() < enough)

    def step(carry):
        i, ids, pens, cache = carry
        predictions, kv, slots = extend(model, params, seq=_slot_each(model, fills, manners.fill, pens), cache=cache)
        logits = guide(predictions[fills[0].stream][:, 0], manners.scale, null=manners.null)
        chosen = choose(
            jax.vmap(jax.random.fold_in)(manners.key, pens.at),
            logits,
            temperature=manners.temperature,
            top_k=manners.top_k,
            top_p=manners.top_p,
            allowed=may_follow(ranges, manners.fill, pens.at, vocab=logits.shape[-1]),
        )[manners.lead]
        stopped = (chosen[:, None] == jnp.asarray(stops)[manners.fill]).any(1)
        ids = ids.at[:, i].set(chosen)
        return i + 1, ids, _advance(pens, chosen, stopped | (pens.at + 1 >= manners.limit)), commit(cache, kv, slots)

    ids = jnp.zeros((len(pens.id), TICK), jnp.int32)
    _, ids, pens, cache = jax.lax.while_loop(unfinished, step, (jnp.int32(0), ids, pens, cache))
    return ids, pens, cache


def _advance(pens: Pens, chosen: Int[Array, "B"], last: Bool[Array, "B"]) -> Pens:
    """Active rows move on by the id just chosen; those for which it was the last become inactive."""
    moved = pens.active.astype(jnp.int32)
    return pens.replace(
        id=jnp.where(pens.active, chosen, pens.id),
        block=pens.block + moved,
        index=pens.index + moved,
        at=pens.at + moved,
        active=pens.active & ~last,
    )


def _slot_each(model: Any, fills: tuple[Any, ...], fill: Int[Array, "B"], pens: Pens) -> Interleaved:
    """A batch of one slot a row, empty where the row is not active: an entry of the stream that is written or, before
    anything is, of the stream that the blank comes after.
    """
    column = lambda x: x[:, None].astype(jnp.int32)
    zeros, own = jnp.zeros_like(column(pens.id)), fills[0].stream
    slots = Slots(
        doc=column(pens.active),
        block=column(pens.block),
        private=zeros.astype(bool),
        pos=jnp.stack([column(pens.index), zeros, zeros], -1),
    )
    clean, entries = zeros.astype(jnp.float32), {}
    before = [each.after or own for each in fills]
    for stream in sorted({own, *before}):
        here = jnp.where(pens.at == 0, jnp.asarray([name == stream for name in before])[fill], stream == own)
        values = pens.before.get(stream, pens.id)
        entries[stream] = Payload(
            values=jnp.where(over(here, values), values, 0)[:, None],
            slot=column(~here),  # 1 is behind the only slot: padding
            read=zeros,
            unit=zeros,
            time=clean,
            weight=clean,
        )
    return Interleaved({model.family.streams[own].lane: slots}, entries)


def _stops(fills: tuple[Any, ...]) -> Int[np.ndarray, "F n"]:
    """The ids that end what every fill writes; -1, which is no id, where there are fewer."""
    most = max(1, *(len(fill.ends) for fill in fills))
    return np.array([[*fill.ends, *[-1] * (most - len(fill.ends))] for fill in fills], np.int32)
