"""Mixture: what systems share whose pictures have weights of their own beside a language model's.

    lane main       words, by the language model's weights, which may stay as they came
    lane picture    pictures, by a second set of norms, projections and feed-forward weights; one attention for both

A mixture of transformers (arXiv:2411.04996, section 2). The second set may begin as a copy of the first (LlamaFusion,
arXiv:2412.15188, section 3).
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.interop.rules import Copy, Rule

MAIN, PICTURE = "main", "picture"
ROUTE = {MAIN: MAIN, PICTURE: PICTURE}  # lane -> expert
TEXT_SIDE = rf"(embed|heads)_text/.*|backbone/.*_{MAIN}/.*|codec/.*"  # what came with a language model, and the codec


def second(rules: Iterable[Rule | Copy], mark: str) -> Iterator[Rule]:
    """Of the rules, those for weights that pictures have too, as theirs: ``mark`` stands behind the name of the piece
    that is another.
    """
    twice = (rule for rule in rules if isinstance(rule, Rule) and any(f"_{MAIN}" in path for path in rule.paths))
    for rule in twice:
        name, _, kind = rule.pattern.rpartition(".")
        inside = ".mlp." in name
        pattern = rule.pattern.replace(".mlp.", f".mlp_{mark}.") if inside else f"{name}_{mark}.{kind}"
        paths = tuple(path.replace(f"_{MAIN}", f"_{PICTURE}") for path in rule.paths)
        yield dataclasses.replace(rule, pattern=pattern, path=paths)


def grown(params: Mapping[str, Any]) -> dict[str, Any]:
    """What a mixture begins with: a language model's parameters, and a copy of all that both sets have."""
    own = {name: grown(x) if isinstance(x, Mapping) else x for name, x in params.items()}
    mine = {name: x for name, x in own.items() if name.endswith(f"_{MAIN}")}
    return own | {name.replace(f"_{MAIN}", f"_{PICTURE}"): jax.tree.map(jnp.copy, x) for name, x in mine.items()}
