"""Judged: an objective that is the mean of what a fixed network says of every picture."""

import dataclasses

from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, PRNGKeyArray
from unified_jax.objectives.total import Sums


class Beside:
    """What objectives share that only read what a network beside the model says of its pictures."""

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, None]:
        """Nothing to corrupt."""
        return seq, None


@dataclasses.dataclass(frozen=True)
class Judged(Beside):
    """The mean distance of pictures. reads: the judge's name, which is its network's: "st-lpips-alex"."""

    stream: str
    reads: str
    weight: float = 1.0

    @property
    def name(self) -> str:
        """What its loss is called."""
        return self.reads

    def loss(self, prediction: Float[Array, "B"], target: None, payload: Payload) -> Sums:
        """prediction: a distance for every row, which is one picture."""
        return picture_mean(prediction, payload)


def picture_mean(values: Float[Array, "*B"], payload: Payload) -> Sums:
    """The mean of a value for every picture, or of one for all, each weighed by its learned entries."""
    weight = payload.weight.sum(-1)
    return Sums((values * weight).sum(), weight.sum())
