"""Runs: a published decoder whose layers are of several kinds, as one stage for each run of layers of one kind."""

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import groupby

from unified_jax.interop.rules import Rule
from unified_jax.models.decoders.causal_lm import Decoder
from unified_jax.nn.stack import Stack
from unified_jax.nn.stages import Stages

OURS = "backbone/"


def in_runs(layers: Sequence[Decoder]) -> Decoder:
    """layers: for every layer the decoder, of the whole depth, that it would be one of if all were of its kind; one
    object for each kind.
    """
    runs = [tuple(run) for _, run in groupby(range(len(layers)), lambda i: id(layers[i]))]
    if len(runs) == 1:
        return layers[0]
    last = layers[-1]
    stages = [_stage(layers[run[0]].stack, run) for run in runs]
    stages[-1] = stages[-1].clone(norm=last.stack.norm)
    rules = [rule for i, run in enumerate(runs) for rule in _layer_rules(layers[run[0]].rules, i, run)]
    others = [_moved(rule, f"{OURS}stages_{len(runs) - 1}/") for rule in last.rules if not _of_layers(rule)]
    return dataclasses.replace(last, stack=Stages(tuple(stages)), rules=(*rules, *others))


def _stage(stack: Stack, run: tuple[int, ...]) -> Stack:
    """Some of the layers, with nothing behind them."""
    return stack.clone(depth=len(run), windows=stack.windows[run[0] : run[-1] + 1], norm=None)


def _layer_rules(rules: Sequence[Rule], stage: int, run: tuple[int, ...]) -> Iterator[Rule]:
    for rule in filter(_of_layers, rules):
        yield dataclasses.replace(_moved(rule, f"{OURS}stages_{stage}/"), layers=run)


def _of_layers(rule: Rule) -> bool:
    return all(path.startswith(f"{OURS}layer/") for path in rule.paths)


def _moved(rule: Rule, to: str) -> Rule:
    """The rule for parameters of a stage; those outside of the layers and what stands behind them stay."""
    return dataclasses.replace(rule, path=tuple(path.replace(OURS, to, 1) for path in rule.paths))
