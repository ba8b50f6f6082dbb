"""Random order: entries of a unit are predicted one by one in an order of chance, each from a hint of its place."""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, Int, PRNGKeyArray
from unified_jax.objectives.cross_entropy import cross_entropy
from unified_jax.objectives.total import Sums
from unified_jax.objectives.units import shuffled


@dataclasses.dataclass(frozen=True)
class RandomOrder:
    """-log p(values | hint, everything before it), averaged over the learned entries (RandAR, arXiv:2412.01827, eq. 2).

    hints: the stream whose entry i names the place of entry i of ``stream``, which is read from it.
    """

    stream: str
    hints: str
    weight: float = 1.0

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Int[Array, "B N"]]:
        """Shuffles entries and hints of every learned unit alike; slots and reads stay. ValueError where the two
        streams have not one room.
        """
        payload, hints = seq.streams[self.stream], seq.streams[self.hints]
        if payload.slot.shape != hints.slot.shape:
            found = f"{hints.slot.shape[1]} and {payload.slot.shape[1]}"
            raise ValueError(f"{self.hints!r} needs as much room as {self.stream!r}; the layout has {found} entries")
        order, _ = shuffled(rng, payload)
        take = lambda values: jnp.take_along_axis(values, order, 1)
        target = take(payload.values)
        return seq.put(self.stream, values=target).put(self.hints, values=take(hints.values)), target

    def loss(self, prediction: Float[Array, "B N V"], target: Int[Array, "B N"], payload: Payload) -> Sums:
        return cross_entropy(prediction, target, weight=payload.weight)
