"""Next scale: pictures of codes scale by scale in all rows at once, a whole scale in each pass; one jitted program.

The passes commit to a cache of their own; the engine's stays as it was.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.core.cache import Cache, commit, grow
from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Array, Int
from unified_jax.sampling.draw import Brushes
from unified_jax.sampling.window import entries, window


@partial(jax.jit, static_argnames=("model", "fill", "most"))
def next_scale(
    model: Any, params: Any, *, fill: Any, cache: Cache, blank: Interleaved, brushes: Brushes, most: int
) -> Int[Array, "B N"]:
    """The codes of every row's picture, scale after scale.

    fill: the ``NextScale`` fill. blank: a batch holding just the pictures; rows without one are empty. most: not used.
    """
    ids, first = blank.streams[fill.stream].values, 0
    cache = grow(cache, cache.capacity + ids.shape[1])
    for scale, count in enumerate(fill.counts):
        # All codes so far are shown to the embedder, though only this scale has slots.
        seq = window(blank.put(fill.stream, values=ids), first=first, count=count)
        asked = Interleaved(seq.lanes, {fill.stream: entries(seq.streams[fill.stream], first, count)})

        def run(module, seq, cache, asked=asked):
            output = module(seq, cache)
            return module.read(output, asked)[fill.stream], output.kv, output.slots

        logits, kv, slots = model.apply({"params": params}, seq, cache, method=run)
        odds = brushes.odds(brushes.guided(logits, fill.shares[scale] if fill.shares else 1.0))
        chosen = jax.vmap(jax.random.categorical)(brushes.keys(scale), odds).astype(jnp.int32)
        ids, cache, first = ids.at[:, first : first + count].set(chosen), commit(cache, kv, slots), first + count
    return ids
