"""Beginning: what a run's first step is given: all parameters of a model to train, or adapters of one that stays."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
from flax.traverse_util import flatten_dict
from jax.sharding import Mesh

from unified_jax.core.types import PRNGKeyArray
from unified_jax.models.lora import Adapted
from unified_jax.models.pretrained import parameters
from unified_jax.train import sharding
from unified_jax.train.experiment import Experiment, complete
from unified_jax.train.optim import optimizer
from unified_jax.train.state import TrainState, create


@dataclasses.dataclass(frozen=True, eq=False)
class Beginning:
    """model: what the steps apply. beside: collections of variables that no step changes.

    create(rng, given): the state before the first step, pure; given: what it is told. join: what is trained -> the
    parameters of the config's own model. attach: what is trained -> the parameters that a step computes with. stays:
    paths of those that no gradient is formed of.
    """

    model: Any
    create: Callable[[PRNGKeyArray, Any], TrainState]
    given: Any
    beside: Mapping[str, Any]
    join: Callable[[Any], Any]
    attach: Callable[[Any], Any]
    stays: frozenset[str] = frozenset()


def begin(experiment: Experiment, model: Any, *, mesh: Mesh, given: Mapping[str, Any]) -> Beginning:
    """given: parameters of the model that are not drawn but brought along."""
    tx, lora = optimizer(experiment.config.optimizer), experiment.lora()
    draw = lambda rng, given: complete(parameters(model, rng), given)
    if lora is None:
        same = lambda params: params
        return Beginning(model, lambda rng, given: create(draw(rng, given), tx), given, {}, join=same, attach=same)
    base, _ = made(draw, jax.random.key(experiment.config.seed), given, mesh=mesh)
    adapters = partial(lora.draw, model=model)
    return Beginning(
        Adapted(model, lora),
        lambda rng, base: create(adapters(rng, base), tx),
        base,
        {"base": base},
        join=partial(lora.merge, base),
        attach=partial(lora.attach, base),
        stays=frozenset(path for path in flatten_dict(base, sep="/") if not re.fullmatch(lora.whole, path)),
    )


def made(function: Callable[[PRNGKeyArray, Any], Any], rng: PRNGKeyArray, given: Any, *, mesh: Mesh) -> tuple[Any, Any]:
    """What the function returns, made already sharded, and its shardings."""
    placed = sharding.shardings(jax.eval_shape(function, rng, given), mesh)
    return jax.jit(function, out_shardings=placed)(rng, given), placed
