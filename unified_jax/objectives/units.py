"""Units: what is drawn once for every span of a row, and shared by its entries."""

import jax
import jax.numpy as jnp

from unified_jax.core.noise import TimeSampler
from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, Bool, Float, Int, PRNGKeyArray


def unit_draw(rng: PRNGKeyArray, payload: Payload, sampler: TimeSampler) -> Float[Array, "B N"]:
    """One draw for each unit, and 0 for context entries (weight 0)."""
    # A row has at most as many units as entries, so a draw for each entry index covers every unit.
    drawn = jnp.take_along_axis(sampler(rng, payload.slot.shape), payload.unit, 1)
    return jnp.where(payload.weight > 0, drawn, 0.0)


def shuffled(rng: PRNGKeyArray, payload: Payload) -> tuple[Int[Array, "B N"], Int[Array, "B N"]]:
    """An order of entries that shuffles each learned unit in its place and leaves all others where they are.

    Returns the order, and for each entry where its unit begins. A unit's entries lie side by side, as they are packed.
    """
    learned, index = payload.weight > 0, jnp.arange(payload.slot.shape[1])
    before = lambda x: jnp.roll(x, 1, axis=1)
    begins = (index == 0) | ~learned | ~before(learned) | (payload.unit != before(payload.unit))
    start = jax.lax.cummax(jnp.where(begins, index, 0), axis=1)
    return jnp.lexsort((jax.random.uniform(rng, start.shape), start), axis=1), start


def some_of(rng: PRNGKeyArray, payload: Payload, *, share: Float[Array, "B N"]) -> Bool[Array, "B N"]:
    """So many entries of every learned unit, any of them alike."""
    order, start = shuffled(rng, payload)
    rank = jnp.argsort(order, 1) - start
    row = jnp.arange(len(start))[:, None]
    size = jnp.zeros_like(start).at[row, start].add(1)[row, start]
    return (payload.weight > 0) & (rank < jnp.maximum(jnp.ceil(share * size), 1))
