"""Units: what is drawn once for every span of a row, and shared by its entries."""

import jax.numpy as jnp

from unified_jax.core.noise import TimeSampler
from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, Float, PRNGKeyArray


def unit_times(rng: PRNGKeyArray, payload: Payload, sampler: TimeSampler) -> Float[Array, "B N"]:
    """One time for each unit; entries without loss are context and stay at time 0."""
    # A row has at most as many units as entries, so a draw for each entry index covers every unit.
    time = jnp.take_along_axis(sampler(rng, payload.slot.shape), payload.unit, 1)
    return jnp.where(payload.weight > 0, time, 0.0)
