"""Noising: every learned unit of a stream is moved to a random time of a path; what every continuous objective does."""

import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.noise import Path, TimeSampler
from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Leaf, PRNGKeyArray


@struct.dataclass
class Noised:
    """seq: with x_t and its time in the stream. clean, noise: what x_t is made of, [B N P]."""

    seq: Interleaved
    clean: Leaf
    noise: Leaf


def noised(rng: PRNGKeyArray, seq: Interleaved, *, stream: str, path: Path, time: TimeSampler) -> Noised:
    """Noises the learned entries, each unit at one time; context entries (weight 0) stay clean at time 0."""
    payload = seq.streams[stream]
    time_rng, noise_rng = jax.random.split(rng)
    # A row has at most as many units as entries, so a draw for each entry index covers every unit.
    t = jnp.take_along_axis(time(time_rng, payload.slot.shape), payload.unit, 1)
    t = jnp.where(payload.weight > 0, t, 0.0)
    noise = jax.random.normal(noise_rng, payload.values.shape)
    x_t = path.corrupt(payload.values, noise, t)
    return Noised(seq.put(stream, values=x_t, time=t), payload.values, noise)
