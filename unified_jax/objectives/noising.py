"""Noising: every learned unit of a stream is moved to a random time of a path; what every continuous objective does."""

import jax
from flax import struct

from unified_jax.core.noise import Path, TimeSampler
from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Array, Float, Leaf, PRNGKeyArray
from unified_jax.objectives.units import unit_draw


@struct.dataclass
class Noised:
    """seq: with x_t and its time in the stream. clean, noise: what x_t is made of, [B N P]."""

    seq: Interleaved
    clean: Leaf
    noise: Leaf


def noised(rng: PRNGKeyArray, seq: Interleaved, *, stream: str, path: Path, time: TimeSampler) -> Noised:
    """Noises the learned entries, each unit at one time; context entries (weight 0) stay clean at time 0."""
    time_rng, noise_rng = jax.random.split(rng)
    return noised_at(unit_draw(time_rng, seq.streams[stream], time), seq, stream=stream, path=path, rng=noise_rng)


def noised_at(t: Float[Array, "B N"], seq: Interleaved, *, stream: str, path: Path, rng: PRNGKeyArray) -> Noised:
    """Noises every entry at its time."""
    payload = seq.streams[stream]
    noise = jax.random.normal(rng, payload.values.shape)
    x_t = path.corrupt(payload.values, noise, t)
    return Noised(seq.put(stream, values=x_t, time=t), payload.values, noise)
