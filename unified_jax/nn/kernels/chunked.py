"""Blocked attention in plain JAX, for any backend: memory linear in T and S, forward and backward.

The tiles and the arithmetic are those of the flash kernels. Loops run over query tiles and, inside, over the key tiles
that some row of the batch must visit; all rows, heads and groups share one step, in [B K T C] order. The gradient
recomputes each tile from out and lse (a plain scan would keep the scores of every tile).
"""

from functools import partial

import jax
import jax.numpy as jnp

from unified_jax.core.mask import Ids, allowed
from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.kernels import blocked
from unified_jax.nn.kernels.partial import Partial
from unified_jax.nn.kernels.schedule import by_row
from unified_jax.nn.kernels.softmax import LOWEST, Running, absorb, dot, finish, gradients, product, score


def attend(
    q: Float[Array, "B T H C"],
    k: Float[Array, "B S K C"],
    v: Float[Array, "B S K C"],
    *,
    query: Slots,
    key: Slots,
    scale: float,
    softcap: float | None = None,
    window: Int[Array, ""] | int | None = None,
    q_tile: int = 256,
    k_tile: int = 256,
) -> Partial:
    """Attention over the slots ``core.mask.allowed`` to each query; T and S need not be multiples of the tiles.

    Raises ValueError where the query heads are not a multiple of the key/value heads.
    """
    sizes = blocked.Sizes(q_tile, k_tile, scale, softcap, multiple=8)
    return blocked.run(_attend, q, k=k, v=v, query=query, key=key, window=window, sizes=sizes)


def _forward(sizes, q, k, v, layout):
    step = _over_heads(partial(_absorb, sizes))
    keys = tuple(_tiles(x, sizes.k_tile) for x in (k, v, layout.key))

    def row(tile):
        q, query, order, count = tile
        zeros = jnp.zeros((*q.shape[:-1], 1), jnp.float32)
        start = Running(jnp.zeros(q.shape, jnp.float32), zeros + LOWEST, zeros)

        def visit(n, state):
            k, v, key = (x[order[n]] for x in keys)
            return step(_seen(query, key, layout.window), state, q, k, v)

        return finish(jax.lax.fori_loop(0, count, visit, start))

    out, lse = jax.lax.map(row, (_query_tiles(q, k, sizes), _tiles(layout.query, sizes.q_tile), *_lists(layout)))
    return _untile(out, q).astype(q.dtype), _untile(lse, q)[..., 0]


def backward(sizes, q, k, v, layout, lse, dout, delta):
    """The gradients of q, k and v; also of the kernels that have no backward of their own."""
    step = _over_heads(partial(_pull, sizes))
    keys = tuple(_tiles(x, sizes.k_tile) for x in (k, v, layout.key))
    queries = tuple(_query_tiles(x, k, sizes) for x in (q, dout, lse[..., None], delta[..., None]))

    def row(totals, tile):
        *queries, query, order, count = tile

        def visit(n, carry):
            dq, totals = carry
            j = order[n]
            k, v, key = (x[j] for x in keys)
            new_dq, *new = step(_seen(query, key, layout.window), *queries, k, v)
            return dq + new_dq, tuple(total.at[j].add(part) for total, part in zip(totals, new, strict=True))

        dq, totals = jax.lax.fori_loop(0, count, visit, (jnp.zeros(queries[0].shape, jnp.float32), totals))
        return totals, dq

    totals = tuple(jnp.zeros(x.shape, jnp.float32) for x in keys[:2])
    (dk, dv), dq = jax.lax.scan(row, totals, (*queries, _tiles(layout.query, sizes.q_tile), *_lists(layout)))
    return _untile(dq, q).astype(q.dtype), _untile(dk, k).astype(k.dtype), _untile(dv, v).astype(v.dtype)


_attend = blocked.differentiable(_forward, backward)


def _absorb(sizes, seen, state, q, k, v):
    scores = score(q, k, scale=sizes.scale, softcap=sizes.softcap)
    return absorb(state, v, scores=scores, seen=_repeat(seen, scores))


def _pull(sizes, seen, q, dout, lse, delta, k, v):
    scores = score(q, k, scale=sizes.scale, softcap=sizes.softcap)
    weights, gradient = gradients(
        scores, dot(dout, v), lse=lse, delta=delta, seen=_repeat(seen, scores), softcap=sizes.softcap
    )
    gradient = gradient * sizes.scale
    return product(gradient, k), product(gradient.T, q), product(weights.T, dout)


def _over_heads(function):
    """``function(seen, *matrices)`` of one head, for seen [B T S] and arrays [B K ...]."""
    return jax.vmap(lambda seen, *matrices: jax.vmap(partial(function, seen))(*matrices))


def _repeat(seen, scores):
    """What one head sees, for the rows of all heads of its group."""
    return jnp.tile(seen, (scores.shape[0] // seen.shape[0], 1))


def _seen(query, key, window):
    query, key = Ids(*jnp.moveaxis(query, 1, 0)[..., None]), Ids(*jnp.moveaxis(key, 1, 0)[:, :, None])
    return allowed(query, key, window=window)


def _lists(layout):
    """Which key tiles any row of the batch visits, for every query tile."""
    return by_row(layout.visit.any(0))


def _tiles(x, tile):
    """[B K n*tile ...] -> [n B K tile ...]."""
    return jnp.moveaxis(x.reshape(*x.shape[:2], -1, tile, *x.shape[3:]), 2, 0)


def _query_tiles(x, k, sizes):
    """[B H T C] -> [n B K G*tile C]: the heads of a group are rows of one matrix."""
    x = _tiles(x, sizes.q_tile)
    return x.reshape(*x.shape[:2], k.shape[1], -1, x.shape[-1])


def _untile(x, like):
    """Tiles of queries or keys in the order of ``like`` [B H T C], with channels of their own."""
    batch, heads, length, _ = like.shape
    x = x.reshape(x.shape[0], batch, heads, length // x.shape[0], x.shape[-1])
    return jnp.moveaxis(x, 0, 2).reshape(batch, heads, length, x.shape[-1])
