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
    """Noising and loss of one stream: pure, without parameters, testable without a model.

    One of several for a stream has a ``name`` of its own, and ``reads``, the name of the prediction that it scores.
    """

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


def name_of(objective: Objective) -> str:
    """What its loss is called: its stream, unless it has a name of its own."""
    return getattr(objective, "name", objective.stream)


def read_by(objective: Objective) -> str:
    """The prediction that it scores: its stream's, unless it says another."""
    return getattr(objective, "reads", objective.stream)


def losses(
    predict: Callable[[Interleaved], Mapping[str, Array]],
    objectives: Sequence[Objective],
    rng: PRNGKeyArray,
    seq: Interleaved,
) -> dict[str, Sums]:
    """Corrupts every objective's stream, predicts once, and returns each objective's summed loss by its name.

    A ``Bootstrapped`` objective asks for further predictions first, all other streams being shown as they are.
    """
    targets = {}
    for i, objective in enumerate(objectives):
        seq, targets[name_of(objective)] = objective.corrupt(jax.random.fold_in(rng, i), seq)
    for o in objectives:
        if isinstance(o, Bootstrapped):
            own = lambda shown, o=o: predict(shown)[read_by(o)]
            targets[name_of(o)] = o.bootstrap(own, seq, targets[name_of(o)])
    predictions = predict(seq)
    score = lambda o: o.loss(predictions[read_by(o)], targets[name_of(o)], seq.streams[o.stream])
    return {name_of(o): score(o) for o in objectives}


def total(
    parts: Mapping[str, Sums],
    objectives: Sequence[Objective],
    counts: Mapping[str, Array] | None = None,
    scales: Mapping[str, Array] | None = None,
) -> Float[Array, ""]:
    """sum_o scale_o * weight_o * total_o / count_o; an absent stream (count 0) adds nothing.

    counts: each objective's count over the whole accumulated batch, where ``parts`` holds only one micro-batch of it.
    scales: of the objectives that do not always count alike (``scale.py``), by name.
    """
    counts, scales = counts or {name: sums.count for name, sums in parts.items()}, scales or {}

    def share(objective: Objective) -> Float[Array, ""]:
        name = name_of(objective)
        loss = objective.weight * parts[name].total / jnp.maximum(counts[name], 1.0)
        return scales[name] * loss if name in scales else loss

    return sum(map(share, objectives))
