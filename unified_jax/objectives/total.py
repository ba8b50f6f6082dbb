"""The whole training loss of every family, and the only place where losses are added up."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, Leaf, PRNGKeyArray


@struct.dataclass
class Sums:
    """A loss before division: total and count, float32 []. Kept apart so that accumulation divides by global counts."""

    total: Leaf
    count: Leaf


@runtime_checkable
class Objective(Protocol):
    """Noising and loss of one stream: pure, without parameters, testable without a model."""

    stream: str
    weight: float

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Any]:
        """What the model is shown instead of the data, and the target of the loss."""

    def loss(self, prediction: Array, target: Any, payload: Payload) -> Sums:
        """Summed loss and the weight it is to be divided by."""


@runtime_checkable
class Bootstrapped(Protocol):
    """An objective whose target takes the model's own answers to other inputs (few-step generation)."""

    def bootstrap(self, predict: Callable[[Interleaved], Array], shown: Interleaved, target: Any) -> Any:
        """The whole target, no gradient through it. predict: the model's predictions of the objective's stream."""


def losses(
    predict: Callable[[Interleaved], Mapping[str, Array]],
    objectives: Sequence[Objective],
    rng: PRNGKeyArray,
    seq: Interleaved,
) -> dict[str, Sums]:
    """Corrupts every objective's stream, predicts once, and returns each stream's summed loss.

    A ``Bootstrapped`` objective asks for further predictions first, all other streams being shown as they are.
    """
    targets = {}
    for i, objective in enumerate(objectives):
        seq, targets[objective.stream] = objective.corrupt(jax.random.fold_in(rng, i), seq)
    for o in objectives:
        if isinstance(o, Bootstrapped):
            targets[o.stream] = o.bootstrap(lambda shown, o=o: predict(shown)[o.stream], seq, targets[o.stream])
    predictions = predict(seq)
    return {o.stream: o.loss(predictions[o.stream], targets[o.stream], seq.streams[o.stream]) for o in objectives}


def total(
    parts: Mapping[str, Sums], objectives: Sequence[Objective], counts: Mapping[str, Array] | None = None
) -> Float[Array, ""]:
    """sum_o weight_o * total_o / count_o; an absent stream (count 0) adds nothing.

    counts: each stream's count over the whole accumulated batch, where ``parts`` holds only one micro-batch of it.
    """
    counts = counts or {stream: sums.count for stream, sums in parts.items()}
    return sum(o.weight * parts[o.stream].total / jnp.maximum(counts[o.stream], 1.0) for o in objectives)
