"""A kernel on a mesh: every device runs it on its own rows and heads, since the compiler cannot split a kernel."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec as P

from unified_jax.core.mesh import HEADS, ROWS
from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array
from unified_jax.nn.kernels.partial import Partial


def per_device(kernel: Callable[..., Partial]) -> Callable[..., Partial]:
    """``kernel`` under ``jax.shard_map`` over the mesh in context (``jax.set_mesh``); as it is where there is none.

    Heads are split where the key/value heads divide over the mesh axis "tensor". Raises ValueError for rows that do
    not divide over theirs.
    """

    def attend(
        q: Array, k: Array, v: Array, *, query: Slots, key: Slots, window: Array | int | None = None, **options: Any
    ) -> Partial:
        mesh = jax.sharding.get_abstract_mesh()
        if mesh.empty or mesh.size == 1:
            return kernel(q, k, v, query=query, key=key, window=window, **options)
        axes = tuple(axis for axis in ROWS if axis in mesh.shape)
        shards = mesh.size // mesh.shape.get(HEADS, 1)
        if q.shape[0] % shards:
            raise ValueError(f"{q.shape[0]} rows do not divide over the {shards} devices of mesh axes {axes}")
        heads = HEADS if HEADS in mesh.shape and k.shape[2] % mesh.shape[HEADS] == 0 else None
        run = lambda q, k, v, query, key, window: kernel(q, k, v, query=query, key=key, window=window, **options)
        split, rows = P(axes, None, heads, None), P(axes)
        specs = (split, split, split, rows, rows, P())
        out_specs = Partial(out=split, lse=P(axes, None, heads))
        return jax.shard_map(run, in_specs=specs, out_specs=out_specs, check_vma=False)(q, k, v, query, key, window)

    return attend
