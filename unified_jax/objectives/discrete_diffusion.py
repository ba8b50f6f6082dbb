"""Discrete diffusion: the continuous-time evidence bound of a process of ``core.discrete``, in nats an entry."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.discrete import Absorbing, Uniform
from unified_jax.core.noise import TimeSampler, uniform
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, Leaf, PRNGKeyArray
from unified_jax.objectives.total import Sums
from unified_jax.objectives.units import unit_draw


@struct.dataclass
class Corrupted:
    """clean, shown: int32 [B N], ids before and after corruption."""

    clean: Leaf
    shown: Leaf


@dataclasses.dataclass(frozen=True)
class DiscreteDiffusion:
    """The bound on -log p(values | context), divided by the number of entries, corrupted or not.

    It is a bound, and exact in expectation, only for times that are uniform on (0, 1); other samplers reweigh it.
    """

    stream: str
    process: Absorbing | Uniform
    weight: float = 1.0
    time: TimeSampler = uniform

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Corrupted]:
        """Corrupts the learned entries at one time for each unit; context entries stay clean at time 0."""
        payload = seq.streams[self.stream]
        time_rng, process_rng = jax.random.split(rng)
        time = unit_draw(time_rng, payload, self.time)
        shown = self.process.corrupt(process_rng, payload.values, time)
        shown = jnp.where(payload.weight > 0, shown, payload.values)
        return seq.put(self.stream, values=shown, time=time), Corrupted(payload.values, shown)

    def loss(self, prediction: Float[Array, "B N V"], target: Corrupted, payload: Payload) -> Sums:
        cost = self.process.cost(prediction, target.clean, z=target.shown, t=payload.time)
        return Sums((cost * payload.weight).sum(), payload.weight.sum())
