"""Flash attention for TPU in Pallas, forward and backward, over a list of the tiles that hold something visible.

FlashAttention-2 (arXiv:2307.08691) with a mask that depends on data: the grid runs along the list of ``schedule.flat``,
whose length is known only on the device, so a tile with nothing visible costs no step and no copy. Inside a tile the
mask is ``core.mask.allowed`` of the ids of its slots. Memory is linear in T and S: inputs, out and two float32 per
query and head are all that is kept.

The side that stays while the list moves on has its ids and statistics turned into columns once; the other side is read
as rows. That is why the gradient of k and v, which holds a key tile and runs along queries, uses transposed scores.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

from unified_jax.core.mask import Ids, allowed
from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.kernels import blocked
from unified_jax.nn.kernels.partial import Partial
from unified_jax.nn.kernels.schedule import BITS, FIRST, LAST, VISIT, flat
from unified_jax.nn.kernels.softmax import LOWEST, Running, absorb, dot, finish, gradients, product, score

LANES = 128  # of a vector register; running statistics are kept this wide
SCALAR_BYTES = 768 * 1024  # of the 1 MiB of scalar memory; the rest is the compiler's


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
    q_tile: int = 512,
    k_tile: int = 512,
    interpret: bool = False,
) -> Partial:
    """Attention over the slots ``core.mask.allowed`` to each query; T and S need not be multiples of the tiles.

    q_tile, k_tile: slots, multiples of 128 unless interpreted.
    Raises ValueError where the query heads are not a multiple of the key/value heads, or where the lists of tiles,
      B (T / q_tile) (S / k_tile) integers, do not fit in scalar memory.
    """
    sizes = blocked.Sizes(q_tile, k_tile, scale, softcap, LANES, interpret)
    return blocked.run(_attend, q, k=k, v=v, query=query, key=key, window=window, sizes=sizes)


class _Side(NamedTuple):
    """Queries or keys in the grid (batch, head, step, head of the group): which block of their arrays a step reads.

    number: (row of the batch, step, entries) -> tile.  head: (head, head of the group) -> head of the array.
    """

    tile: int
    number: Callable
    head: Callable

    def matrix(self, channels: int) -> pl.BlockSpec:
        index = lambda b, h, n, g, entries, *_: (b, self.head(h, g), self.number(b, n, entries), 0)
        return pl.BlockSpec((None, None, self.tile, channels), index)

    def statistics(self, count: int) -> pl.BlockSpec:
        index = lambda b, h, n, g, entries, *_: (b, self.head(h, g), 0, self.number(b, n, entries))
        return pl.BlockSpec((None, None, count, self.tile), index)

    def ids(self) -> pl.BlockSpec:
        return pl.BlockSpec((None, 4, self.tile), lambda b, h, n, g, entries, *_: (b, 0, self.number(b, n, entries)))


def _along_keys(sizes, visit, group):
    """(queries, keys) where each row of the list is a query tile and each head has a pass of its own."""
    row, column = _row_and_column(visit)
    return _Side(sizes.q_tile, row, lambda h, g: h), _Side(sizes.k_tile, column, lambda h, g: h // group)


def _along_queries(sizes, visit, group):
    """(queries, keys) where each row of the list is a key tile, which all heads of the group read in turn."""
    row, column = _row_and_column(visit)
    return _Side(sizes.q_tile, column, lambda h, g: h * group + g), _Side(sizes.k_tile, row, lambda h, g: h)


def _row_and_column(visit):
    _, rows, columns = visit.shape
    tile = lambda b, n, entries: entries[b * rows * columns + n] >> BITS
    return lambda *step: tile(*step) // columns, lambda *step: tile(*step) % columns


def _call(kernel, *, operands, visit, window, heads, interpret, in_specs, out_specs, out_shape, scratch, group=1):
    """Runs ``kernel(entries, window or None, *operands, *outputs, *scratch)`` over the visited tiles."""
    plan = flat(visit)
    _check_room(plan.entries)
    entries = plan.entries.reshape(-1)  # two axes would be padded to whole registers
    scalars = (entries,) if window is None else (entries, window)
    body = kernel if window is not None else lambda entries, *refs: kernel(entries, None, *refs)
    grid = pltpu.PrefetchScalarGridSpec(
        num_scalar_prefetch=len(scalars),
        grid=(visit.shape[0], heads, plan.steps, group),
        in_specs=in_specs,
        out_specs=out_specs,
        scratch_shapes=scratch,
    )
    return pl.pallas_call(body, grid_spec=grid, out_shape=out_shape, interpret=interpret)(*scalars, *operands)


def _check_room(entries):
    if entries.size * 4 > SCALAR_BYTES:
        raise ValueError(
            f"the lists of {entries.shape[0]} rows x {entries.shape[1]} tiles take {entries.size * 4} bytes of scalar "
            f"memory, which has room for {SCALAR_BYTES}: use larger tiles, or fewer rows on each device"
        )


def _forward(sizes, q, k, v, layout):
    (batch, heads, length, channels), group = q.shape, q.shape[1] // k.shape[1]
    queries, keys = _along_keys(sizes, layout.visit, group)
    out, lse = _call(
        partial(_forward_kernel, sizes),
        operands=(q, k, v, layout.query, layout.key),
        visit=layout.visit,
        window=layout.window,
        heads=heads,
        interpret=sizes.interpret,
        in_specs=[queries.matrix(channels), *[keys.matrix(channels)] * 2, queries.ids(), keys.ids()],
        out_specs=[queries.matrix(channels), queries.statistics(1)],
        out_shape=[_like(q), jax.ShapeDtypeStruct((batch, heads, 1, length), jnp.float32)],
        scratch=[
            pltpu.VMEM((sizes.q_tile, 4), jnp.int32),
            pltpu.VMEM((sizes.q_tile, channels), jnp.float32),
            *[pltpu.VMEM((sizes.q_tile, LANES), jnp.float32)] * 2,
        ],
    )
    return out, lse[:, :, 0]


def _backward(sizes, q, k, v, layout, lse, dout, delta):
    channels, groups, group = q.shape[3], k.shape[1], q.shape[1] // k.shape[1]
    operands = (q, k, v, dout, jnp.stack([lse, delta], 2), layout.query, layout.key)
    call = partial(_call, operands=operands, window=layout.window, interpret=sizes.interpret)
    queries, keys = _along_keys(sizes, layout.visit, group)
    dq = call(
        partial(_dq_kernel, sizes),
        visit=layout.visit,
        heads=groups * group,
        in_specs=_backward_inputs(queries, keys, channels),
        out_specs=queries.matrix(channels),
        out_shape=_like(q),
        scratch=[
            pltpu.VMEM((sizes.q_tile, 4), jnp.int32),
            pltpu.VMEM((sizes.q_tile, 2), jnp.float32),
            pltpu.VMEM((sizes.q_tile, channels), jnp.float32),
        ],
    )
    visit = layout.visit.swapaxes(1, 2)
    queries, keys = _along_queries(sizes, visit, group)
    dk, dv = call(
        partial(_dkv_kernel, sizes),
        visit=visit,
        heads=groups,
        group=group,
        in_specs=_backward_inputs(queries, keys, channels),
        out_specs=[keys.matrix(channels)] * 2,
        out_shape=[_like(k), _like(v)],
        scratch=[
            pltpu.VMEM((sizes.k_tile, 4), jnp.int32),
            *[pltpu.VMEM((sizes.k_tile, channels), jnp.float32)] * 2,
        ],
    )
    return dq, dk, dv


def _backward_inputs(queries, keys, channels):
    matrices = [side.matrix(channels) for side in (queries, keys, keys, queries)]
    return [*matrices, queries.statistics(2), queries.ids(), keys.ids()]


_attend = blocked.differentiable(_forward, _backward)


def _like(x):
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def _ids(rows):
    return Ids(*(rows[n : n + 1, :] for n in range(4)))


def _id_columns(columns):
    return Ids(*(columns[:, n : n + 1] for n in range(4)))


def _entry(entries):
    """Of this step, from the lists of all rows of the batch one after another."""
    length = entries.shape[0] // pl.num_programs(0)
    return entries[pl.program_id(0) * length + pl.program_id(2)]


def _forward_kernel(sizes, entries, window, q, k, v, q_ids, k_ids, out, lse, q_columns, total_out, top, total):
    entry = _entry(entries)

    @pl.when(entry & FIRST != 0)
    def _():
        q_columns[...] = q_ids[...].T
        total_out[...] = jnp.zeros_like(total_out)
        top[...] = jnp.full_like(top, LOWEST)
        total[...] = jnp.zeros_like(total)

    @pl.when(entry & VISIT != 0)
    def _():
        seen = allowed(_id_columns(q_columns), _ids(k_ids), window=_value(window))
        scores = score(q[...], k[...], scale=sizes.scale, softcap=sizes.softcap)
        state = absorb(Running(total_out[...], top[:, :1], total[:, :1]), v[...], scores=scores, seen=seen)
        total_out[...] = state.out
        top[...] = jnp.broadcast_to(state.top, top.shape)
        total[...] = jnp.broadcast_to(state.total, total.shape)

    @pl.when(entry & LAST != 0)
    def _():
        result, lse_column = finish(Running(total_out[...], top[:, :1], total[:, :1]))
        out[...] = result.astype(out.dtype)
        lse[...] = jnp.broadcast_to(lse_column, top.shape).T[:1]


def _dq_kernel(sizes, entries, window, q, k, v, dout, stats, q_ids, k_ids, dq, q_columns, stat_columns, total):
    entry = _entry(entries)

    @pl.when(entry & FIRST != 0)
    def _():
        q_columns[...] = q_ids[...].T
        stat_columns[...] = stats[...].T
        total[...] = jnp.zeros_like(total)

    @pl.when(entry & VISIT != 0)
    def _():
        seen = allowed(_id_columns(q_columns), _ids(k_ids), window=_value(window))
        scores = score(q[...], k[...], scale=sizes.scale, softcap=sizes.softcap)
        lse, delta = stat_columns[:, :1], stat_columns[:, 1:]
        products = dot(dout[...], v[...])
        _, gradient = gradients(scores, products, lse=lse, delta=delta, seen=seen, softcap=sizes.softcap)
        total[...] += product(gradient, k[...])

    @pl.when(entry & LAST != 0)
    def _():
        dq[...] = (total[...] * sizes.scale).astype(dq.dtype)


def _dkv_kernel(sizes, entries, window, q, k, v, dout, stats, q_ids, k_ids, dk, dv, k_columns, total_k, total_v):
    entry, head = _entry(entries), pl.program_id(3)

    @pl.when((entry & FIRST != 0) & (head == 0))
    def _():
        k_columns[...] = k_ids[...].T
        total_k[...] = jnp.zeros_like(total_k)
        total_v[...] = jnp.zeros_like(total_v)

    @pl.when(entry & VISIT != 0)
    def _():
        seen = allowed(_ids(q_ids), _id_columns(k_columns), window=_value(window))
        scores = score(k[...], q[...], scale=sizes.scale, softcap=sizes.softcap)
        products = dot(v[...], dout[...])
        weights, gradient = gradients(
            scores, products, lse=stats[:1, :], delta=stats[1:, :], seen=seen, softcap=sizes.softcap
        )
        total_v[...] += product(weights, dout[...])
        total_k[...] += product(gradient, q[...])

    @pl.when((entry & LAST != 0) & (head == pl.num_programs(3) - 1))
    def _():
        dk[...] = (total_k[...] * sizes.scale).astype(dk.dtype)
        dv[...] = total_v[...].astype(dv.dtype)


def _value(window):
    return None if window is None else window[0]
