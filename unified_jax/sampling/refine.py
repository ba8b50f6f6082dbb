"""Refine: pictures of ids in all rows at once, each in passes over the whole of it; one jitted loop.

Nothing is committed. Rows may take different numbers of passes: from 0 to 0 a process changes nothing.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.core.cache import Cache
from unified_jax.core.noise import timetable
from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Array, Int
from unified_jax.sampling.draw import Brushes
from unified_jax.sampling.extend import extend


@partial(jax.jit, static_argnames=("model", "fill", "most"))
def refine(
    model: Any, params: Any, *, fill: Any, cache: Cache, blank: Interleaved, brushes: Brushes, most: int
) -> Int[Array, "B N"]:
    """The ids of every row's picture.

    fill: the ``Refine`` fill. blank: a batch holding just the pictures; rows without one are empty. most: room of the
    timetable, at least every row's steps.
    """
    (params, cache), payload = model.apart(params, cache), blank.streams[fill.stream]
    times = timetable(brushes.steps, brushes.shift, most=most)

    def logits(ids, t):
        time = jnp.broadcast_to(t[:, None], payload.time.shape)
        predictions, *_ = extend(model, params, seq=blank.put(fill.stream, values=ids, time=time), cache=cache)
        return brushes.odds(brushes.guided(predictions[fill.stream]))

    def step(i, ids):
        t, s = times[i], times[i + 1]
        return jax.vmap(fill.process.reverse)(brushes.keys(i + 1), ids, logits(ids, t), t=t, s=s)

    start = jax.vmap(lambda key: fill.process.start(key, payload.slot.shape[1:]))(brushes.keys(0))
    return jax.lax.fori_loop(0, brushes.steps.max(), step, start)
