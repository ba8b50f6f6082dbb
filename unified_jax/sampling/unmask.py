"""Unmask: texts in all rows at once, uncovered block by block from left to right; one jitted loop.

Of n masks and ``block`` open at a time there are K = ceil(n / block) blocks, and each takes steps // K passes. A pass
chooses an id for every mask and keeps those of the block that it is surest of, as many in every pass; all later blocks
are masks meanwhile, and seen (LLaDA, arXiv:2502.09992, section 2.4).

    sureness = p(chosen id), of the guided logits without temperature

Nothing is committed. Rows may have different blocks and numbers of passes.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.core.cache import Cache
from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Array, Float, Int
from unified_jax.sampling.draw import Brushes
from unified_jax.sampling.extend import extend


@partial(jax.jit, static_argnames=("model", "fill", "most"))
def unmask(
    model: Any, params: Any, *, fill: Any, cache: Cache, blank: Interleaved, brushes: Brushes, most: int
) -> Int[Array, "B N"]:
    """The ids of every row's text.

    fill: the ``Unmask`` fill. blank: a batch holding the masks and all they follow; rows without any are empty. most:
    not used.
    """
    (params, cache), payload = model.apart(params, cache), blank.streams[fill.stream]
    n = payload.slot.shape[1]

    def step(i, ids):
        predictions, *_ = extend(model, params, seq=blank.put(fill.stream, values=ids), cache=cache)
        logits = brushes.guided(predictions[fill.stream])
        chosen = jax.vmap(jax.random.categorical)(brushes.keys(i), brushes.odds(logits)).astype(jnp.int32)
        until, count = share(i, n=n, block=brushes.block, steps=brushes.steps)
        return jax.vmap(partial(uncover, mask=fill.mask))(ids, logits, chosen, until=until, count=count)

    blocks = -(-n // brushes.block)
    passes = blocks * jnp.maximum(brushes.steps // blocks, 1)
    return jax.lax.fori_loop(0, passes.max(), step, jnp.full_like(payload.values, fill.mask))


def share(
    i: Int[Array, "*#B"] | int, *, n: int, block: Int[Array, "*#B"], steps: Int[Array, "*#B"]
) -> tuple[Int[Array, "*B"], Int[Array, "*B"]]:
    """Where the block of the i-th pass ends, and how many of its masks the pass uncovers: none behind the last.

    Where a block does not divide by its passes, the first ones uncover one more.
    """
    passes = jnp.maximum(steps // -(-n // block), 1)
    start = jnp.minimum(i // passes * block, n)
    until = jnp.minimum(start + block, n)
    each, more = jnp.divmod(until - start, passes)
    return until, each + (i % passes < more)


def uncover(
    z: Int[Array, "N"],
    logits: Float[Array, "N V"],
    chosen: Int[Array, "N"],
    *,
    mask: int,
    until: Int[Array, ""],
    count: Int[Array, ""],
) -> Int[Array, "N"]:
    """z with the ``count`` surest of the chosen ids in place of masks, all of them before entry ``until``."""
    sure = jnp.take_along_axis(jax.nn.log_softmax(logits), chosen[:, None], -1)[:, 0]
    sure = jnp.where((z == mask) & (jnp.arange(len(z)) < until), sure, -jnp.inf)
    rank = jnp.argsort(jnp.argsort(-sure, stable=True), stable=True)
    return jnp.where((rank < count) & (sure > -jnp.inf), chosen, z)
