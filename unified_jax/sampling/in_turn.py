"""In turn: pictures entry by entry in all rows at once, each from the state of what came before; one jitted loop.

The loop commits to a cache of its own. The engine's stays as it was: what follows a picture is run against the finished
one, written as the family writes pictures that are given.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.core.cache import Cache, commit, grow
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Int
from unified_jax.sampling.draw import Brushes
from unified_jax.sampling.window import entries, window


@partial(jax.jit, static_argnames=("model", "fill", "most"))
def in_turn(
    model: Any, params: Any, *, fill: Any, cache: Cache, blank: Interleaved, brushes: Brushes, most: int
) -> Array:
    """The values of every row's picture, [B N ...], in raster order.

    fill: the ``InTurn`` fill. blank: a batch holding the entry before the pictures and the pictures; rows without one
    are empty. most: room of the timetable, at least every row's steps.
    """
    blank, order = _ordered(blank, fill=fill, brushes=brushes)
    payload, stride = blank.streams[fill.stream], fill.slots

    def step(i, carry):
        values, cache = carry
        seq = window(blank.put(fill.stream, values=values), first=stride * i, count=stride)
        # Entry i - 1 is shown; entry i is read from the last slot.
        shown = entries(_behind_nothing(seq.streams[fill.stream], stride), i)
        output = model.apply({"params": params}, Interleaved(seq.lanes, {**seq.streams, fill.stream: shown}), cache)
        asked = Interleaved(seq.lanes, {fill.stream: entries(seq.streams[fill.stream], i)})

        def predict(draft):
            read = lambda module: module.read(output, asked.put(fill.stream, draft=draft))[fill.stream][:, 0]
            return brushes.guided(model.apply({"params": params}, method=read))

        chosen = fill.pick(brushes.keys(i + 1), predict, brushes=brushes, size=values.shape[2:], most=most)
        return values.at[:, i].set(chosen), commit(cache, output.kv, output.slots)

    n = payload.slot.shape[1]
    own = grow(cache, cache.capacity + stride * n)
    values, _ = jax.lax.fori_loop(0, n, step, (payload.values, own))
    return values.at[jnp.arange(len(order))[:, None], order].set(values)


def _ordered(blank: Interleaved, *, fill: Any, brushes: Brushes) -> tuple[Interleaved, Int[Array, "B N"]]:
    """The batch with every row's order in its hints, and that order: the place of the entry made n-th."""
    rows, n = blank.streams[fill.stream].slot.shape
    if fill.hints is None:
        return blank, jnp.broadcast_to(jnp.arange(n), (rows, n))
    order = jax.vmap(lambda key: jax.random.permutation(key, n))(brushes.keys(0))
    return blank.put(fill.hints, values=order.astype(jnp.int32)), order


def _behind_nothing(payload: Payload, padding: int) -> Payload:
    """The same entries after one that is padding."""
    pad = lambda x, value=0: jnp.pad(x, [(0, 0), (1, 0)] + [(0, 0)] * (x.ndim - 2), constant_values=value)
    return jax.tree.map(pad, payload).replace(slot=pad(payload.slot, padding))
