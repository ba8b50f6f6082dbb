"""In groups: pictures of vectors, group by group in an order of chance, in all rows at once; one jitted loop (MAR,
arXiv:2406.11838, section 3.3 and figure 3c).

Of L entries, floor(L cos(pi/2 s/S)) are left after s of S steps, and every step makes at least one. It runs the
backbone on what is there, and then denoises the entries of its group, each by itself. Nothing is committed.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.core.cache import Cache
from unified_jax.core.hiding import hide
from unified_jax.core.noise import over
from unified_jax.core.sequence import Draft, Interleaved
from unified_jax.core.types import AnyArray, Array, Float, Int
from unified_jax.sampling.draw import Brushes
from unified_jax.sampling.solvers.solve import solve

SHARE = 64  # a turn denoises so small a share of a picture: a large group takes several, a small one leaves some idle
ROUNDING = 1e-3  # what float32 may lack of a whole number of entries


@partial(jax.jit, static_argnames=("model", "fill", "most"))
def in_groups(
    model: Any, params: Any, *, fill: Any, cache: Cache, blank: Interleaved, brushes: Brushes, most: int
) -> Float[Array, "B N P"]:
    """The values of every row's picture, in raster order.

    fill: the ``InGroups`` fill. blank: a batch holding just the pictures; rows without one are empty. most: not used.
    """
    (params, cache), payload = model.apart(params, cache), blank.streams[fill.stream]
    n = fill.entries
    row, size = jnp.arange(len(payload.slot))[:, None], -(-n // SHARE)
    order = jax.vmap(lambda key: jax.random.permutation(key, n))(brushes.keys(0))
    # The last of an order is made first. What is no entry is never hidden.
    turn_of = jnp.full_like(payload.slot, n).at[row, order].set(jnp.arange(n))

    def known(module, seq, cache):
        states = module.states(module(seq, cache), seq, fill.stream)
        return module.heads[fill.stream].conditions(states, seq.streams[fill.stream])

    def step(i, carry):
        values, hidden = carry
        left = remaining(hidden, n, passed=(i + 1) / brushes.steps)
        seq = hide(blank.put(fill.stream, values=values), fill.stream, hidden=turn_of < hidden[:, None])
        conditions = model.apply({"params": params}, seq, cache, method=known)

        def some(j, values):
            number = left[:, None] + j * size + jnp.arange(size)
            place = jnp.take_along_axis(order, jnp.minimum(number, n - 1), 1)
            given = jnp.take_along_axis(conditions, place[..., None], 1)
            share = fill.growth(1 - jnp.maximum(left, 1) / n)
            made = _denoised(model, params, given=given, fill=fill, place=place, brushes=brushes, share=share)
            return values.at[row, jnp.where(number < hidden[:, None], place, values.shape[1])].set(made, mode="drop")

        return jax.lax.fori_loop(0, -(-jnp.max(hidden - left) // size), some, values), left

    start = payload.values, jnp.full(len(row), n)
    return jax.lax.fori_loop(0, brushes.steps.max(), step, start)[0]


def remaining(hidden: Int[AnyArray, "B"], entries: int, *, passed: Float[AnyArray, "B"]) -> Int[Array, "B"]:
    """How many entries stay hidden at a step, of those that were. passed: the share of steps, this one among them."""
    left = jnp.floor(entries * jnp.cos(jnp.pi / 2 * passed) + ROUNDING).astype(jnp.int32)
    return jnp.where(passed < 1, jnp.clip(left, 1, jnp.maximum(hidden - 1, 1)), 0)


def _denoised(
    model: Any,
    params: Any,
    *,
    given: Float[Array, "B K E"],
    fill: Any,
    place: Int[Array, "B K"],
    brushes: Brushes,
    share: Float[Array, "B"],
) -> Float[Array, "B K P"]:
    """Entries from noise, each with draws of its own place; the temperature scales what steps add."""
    features = fill.features
    keys = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)))(brushes.keys(1), place)
    normal = jax.vmap(jax.vmap(lambda key: jax.random.normal(key, (features,))))
    fold = jax.vmap(jax.vmap(jax.random.fold_in, (0, None)), (0, None))

    def network(x, point):
        draft = Draft(x, jnp.broadcast_to(point.t, place.shape))
        denoise = lambda module: module.heads[fill.stream].denoised(given, draft)
        output = model.apply({"params": params}, method=denoise)
        # What is said of variances is not guided.
        said = brushes.guided(output[..., :features], share), output[brushes.lead, :, features:]
        return jnp.concatenate(said, -1)

    noise = lambda i: over(brushes.temperature, given) * normal(fold(keys, i + 1))
    start = normal(fold(keys, 0))
    return solve(network, start, t=jnp.asarray(fill.times), path=fill.path, solver=fill.solver, noise=noise)
