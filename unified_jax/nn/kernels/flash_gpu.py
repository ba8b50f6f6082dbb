"""Flash attention for GPU in Pallas (Triton): forward over the list of visited tiles, backward in plain JAX.

Written for, and tested in, Pallas' interpret mode, and lowered to Triton's language; no GPU has run it. Every program
takes one query tile of one head and loops over the key tiles its row of ``schedule.by_row`` names. The gradient is that
of ``chunked``, recomputed tile by tile from out and lse, so memory stays linear in T and S.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from unified_jax.core.mask import Ids, allowed
from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.kernels import blocked, chunked
from unified_jax.nn.kernels.partial import Partial
from unified_jax.nn.kernels.schedule import by_row
from unified_jax.nn.kernels.softmax import LOWEST, Running, absorb, finish, score


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
    q_tile: int = 64,
    k_tile: int = 64,
    interpret: bool = False,
) -> Partial:
    """Attention over the slots ``core.mask.allowed`` to each query; T and S need not be multiples of the tiles.

    q_tile, k_tile: slots, powers of two of at least 16. float32 products take the device's default precision (TF32).
    Raises ValueError where the query heads are not a multiple of the key/value heads.
    """
    sizes = blocked.Sizes(q_tile, k_tile, scale, softcap, max(q_tile, k_tile), interpret)
    return blocked.run(_attend, q, k=k, v=v, query=query, key=key, window=window, sizes=sizes)


def _forward(sizes, q, k, v, layout):
    channels = q.shape[-1]
    q, k, v = (_power_of_two(x) for x in (q, k, v))
    (batch, heads, length, width), keys, group = q.shape, k.shape[2], q.shape[1] // k.shape[1]
    order, count = by_row(layout.visit)
    window = () if layout.window is None else (layout.window,)
    matrix = pl.BlockSpec((None, None, sizes.q_tile, width), lambda b, h, i: (b, h, i, 0))
    all_keys = pl.BlockSpec((None, None, keys, width), lambda b, h, i: (b, h // group, 0, 0))
    out, lse = pl.pallas_call(
        partial(_kernel, sizes),
        grid=(batch, heads, length // sizes.q_tile),
        in_specs=[
            matrix,
            all_keys,
            all_keys,
            pl.BlockSpec((None, 4, sizes.q_tile), lambda b, h, i: (b, 0, i)),
            pl.BlockSpec((None, 4, keys), lambda b, h, i: (b, 0, 0)),
            pl.BlockSpec((None, None, order.shape[-1]), lambda b, h, i: (b, i, 0)),
            pl.BlockSpec((None, 1), lambda b, h, i: (b, i)),
            *[pl.BlockSpec((1,), lambda b, h, i: (0,))] * len(window),
        ],
        out_specs=[matrix, pl.BlockSpec((None, None, sizes.q_tile), lambda b, h, i: (b, h, i))],
        out_shape=[
            jax.ShapeDtypeStruct(q.shape, q.dtype),
            jax.ShapeDtypeStruct((batch, heads, length), jnp.float32),
        ],
        compiler_params=triton.CompilerParams(num_warps=4, num_stages=2),
        interpret=sizes.interpret,
    )(q, k, v, layout.query, layout.key, order, count, *window)
    return out[..., :channels], lse


_attend = blocked.differentiable(_forward, chunked.backward)


def _power_of_two(x):
    """Zeros after the channels: the compiler's matrices have powers of two for sides."""
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, max(16, 1 << (x.shape[-1] - 1).bit_length()) - x.shape[-1])])


def _kernel(sizes, q, k, v, q_ids, k_ids, order, count, *refs):
    *window, out, lse = refs
    queries, window = q[...], window[0][0] if window else None
    query = Ids(*(q_ids[n, :][:, None] for n in range(4)))

    def visit(n, state):
        here = pl.ds(order[n] * sizes.k_tile, sizes.k_tile)
        seen = allowed(query, Ids(*(k_ids[n, here][None, :] for n in range(4))), window=window)
        scores = score(queries, k[here, :], scale=sizes.scale, softcap=sizes.softcap)
        return absorb(state, v[here, :], scores=scores, seen=seen)

    column = (sizes.q_tile, 1)
    start = Running(jnp.zeros(queries.shape, jnp.float32), jnp.full(column, LOWEST), jnp.zeros(column))
    result, lse_column = finish(jax.lax.fori_loop(0, count[0], visit, start))
    out[...] = result.astype(out.dtype)
    lse[...] = lse_column[:, 0]
