"""Next-token prediction: cross-entropy of every learned entry given the state it is read from."""

import dataclasses

from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, Int, PRNGKeyArray
from unified_jax.objectives.cross_entropy import cross_entropy
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
        return cross_entropy(prediction, target, weight=payload.weight)
