"""Next-token prediction: cross-entropy of every learned entry given the state it is read from."""

import dataclasses

import optax

from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, Int, PRNGKeyArray
from unified_jax.objectives.total import Sums


@dataclasses.dataclass(frozen=True)
class NextToken:
    """-log p(values | state at ``read``), averaged over the stream's learned entries."""

    stream: str
    weight: float = 1.0

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Int[Array, "B N"]]:
        """Nothing to corrupt: ``read`` already points at the predecessor."""
        return seq, seq.streams[self.stream].values

    def loss(self, prediction: Float[Array, "B N V"], target: Int[Array, "B N"], payload: Payload) -> Sums:
        loss = optax.softmax_cross_entropy_with_integer_labels(prediction, target)
        return Sums((loss * payload.weight).sum(), payload.weight.sum())
