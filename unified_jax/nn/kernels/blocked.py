"""What the blocked implementations share: tiles made whole by padding, and one custom gradient from (out, lse).

An implementation is two functions on arrays in [B H T C] order,

    forward(sizes, q, k, v, layout) -> out, lse [B H T]
    backward(sizes, q, k, v, layout, lse, dout, delta) -> dq, dk, dv

of which ``differentiable`` makes one that JAX can differentiate, keeping nothing but inputs, out and lse.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from unified_jax.core.mask import stacked
from unified_jax.core.sequence import Slots
from unified_jax.core.types import AnyArray, Array, Float, Int, Leaf, Shaped
from unified_jax.nn.kernels.partial import Partial
from unified_jax.nn.kernels.tiles import visits


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The numbers a kernel is compiled for.

    multiple: short sequences take smaller tiles, of this many slots or a multiple of it.
    interpret: run a Pallas kernel in plain JAX, to test it without its device.
    """

    q_tile: int
    k_tile: int
    scale: float
    softcap: float | None
    multiple: int
    interpret: bool = False


class Layout(NamedTuple):
    """What decides visibility.

    query, key: int32 [B 4 T] and [B 4 S], ``core.mask.stacked``.
    visit: bool [B nq nk], ``tiles.visits``.
    window: int32 [1], or None.
    """

    query: Leaf
    key: Leaf
    visit: Leaf
    window: Leaf


def differentiable(forward: Callable, backward: Callable) -> Callable:
    """(sizes, q, k, v, layout) -> (out, lse), with the gradient of both."""

    @partial(jax.custom_vjp, nondiff_argnums=(0,))
    def attend(sizes, q, k, v, layout):
        return forward(sizes, q, k, v, layout)

    def save(sizes, q, k, v, layout):
        out, lse = forward(sizes, q, k, v, layout)
        return (out, lse), (q, k, v, layout, out, lse)

    def pull(sizes, saved, cotangents):
        (q, k, v, layout, out, lse), (dout, dlse) = saved, cotangents
        delta = jnp.sum(out.astype(jnp.float32) * dout.astype(jnp.float32), -1) - dlse
        return *backward(sizes, q, k, v, layout, lse, dout, delta), None

    attend.defvjp(save, pull)
    return attend


def run(
    attend: Callable,
    q: Float[Array, "B T H C"],
    *,
    k: Float[Array, "B S K C"],
    v: Float[Array, "B S K C"],
    query: Slots,
    key: Slots,
    window: Int[Array, ""] | int | None,
    sizes: Sizes,
) -> Partial:
    """Calls what ``differentiable`` made on padded arrays, and cuts the padding off again.

    Raises ValueError where the query heads do not divide into the key/value heads.
    """
    length, heads, groups = q.shape[1], q.shape[2], k.shape[2]
    if heads % groups:
        raise ValueError(f"{heads} query heads must be a multiple of {groups} key/value heads")
    q_tile = fit(sizes.q_tile, length, multiple=sizes.multiple)
    k_tile = fit(sizes.k_tile, k.shape[1], multiple=sizes.multiple)
    sizes = dataclasses.replace(sizes, q_tile=q_tile, k_tile=k_tile)
    q, query_ids = pad(q.transpose(0, 2, 1, 3), q_tile, axis=2), pad(stacked(query), q_tile, axis=2)
    k, v = (pad(x.transpose(0, 2, 1, 3), k_tile, axis=2) for x in (k, v))
    key_ids = pad(stacked(key), k_tile, axis=2)
    visit = visits(query_ids, key_ids, q_tile=q_tile, k_tile=k_tile, window=window)
    window = None if window is None else jnp.asarray(window, jnp.int32).reshape(1)
    out, lse = attend(sizes, q, k, v, Layout(query_ids, key_ids, visit, window))
    return Partial(out[:, :, :length].transpose(0, 2, 1, 3), lse[:, :, :length].transpose(0, 2, 1))


def fit(tile: int, length: int, *, multiple: int) -> int:
    """The smallest tile that covers the length in as many pieces as ``tile`` would."""
    pieces = -(-length // tile)
    return min(tile, -(-length // (pieces * multiple)) * multiple)


def pad(x: Shaped[AnyArray, "..."], tile: int, *, axis: int) -> Shaped[Array, "..."]:
    """Zeros up to a whole number of tiles; ids of zero are those of an empty slot."""
    widths = [(0, 0)] * x.ndim
    widths[axis] = (0, -x.shape[axis] % tile)
    return jnp.pad(x, widths)
