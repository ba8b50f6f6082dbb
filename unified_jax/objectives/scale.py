"""Scales: how much an objective counts at a step, where that is not always alike.

    scale = 0 before ``start``, then 1, or where the objective names a layer (VQGAN, arXiv:2012.09841, eq. 7)
    scale = |d others / d layer| / (|d own / d layer| + 1e-4), at most 1e4

``others`` are all objectives that always count alike. The layer is the last that both pass: the decoder's for what is
told of pictures, the encoder's for what is told of latents. No gradient flows through a scale.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax

from unified_jax.core.types import Array, Float, Int
from unified_jax.objectives.total import Objective, Sums, name_of, total

DAMPING, MOST = 1e-4, 1e4  # VQGAN's


@runtime_checkable
class Paced(Objective, Protocol):
    """start: the first step that it counts at. layer: path of a parameter, "codec/decoder/out/kernel"; "" for none."""

    start: int
    layer: str


def scales(
    objectives: Sequence[Objective],
    parts: Callable[[Any], Mapping[str, Sums]],
    params: Any,
    *,
    step: Int[Array, ""],
    counts: Mapping[str, Array],
) -> dict[str, Float[Array, ""]]:
    """The scales of the paced objectives, by name; {} where there are none.

    parts: parameters -> the losses of a batch, traced again for every layer that is named; the forward pass is then
    there twice, for the compiler to merge. Raises ValueError for a layer that is not there.
    """
    found = {}
    for objective in objectives:
        if isinstance(objective, Paced):
            ratio = _ratio(objective, objectives, parts, params, counts) if objective.layer else 1.0
            found[name_of(objective)] = jax.lax.stop_gradient(jnp.where(step >= objective.start, ratio, 0.0))
    return found


def _ratio(
    objective: Paced,
    objectives: Sequence[Objective],
    parts: Callable[[Any], Mapping[str, Sums]],
    params: Any,
    counts: Mapping[str, Array],
) -> Float[Array, ""]:
    others = [o for o in objectives if not isinstance(o, Paced)]
    name, path = name_of(objective), objective.layer.split("/")

    def losses(layer: Any) -> tuple[Array, Array]:
        sums = parts(_replaced(params, path, layer))
        return total(sums, others, counts), sums[name].total / jnp.maximum(counts[name], 1.0)

    (theirs, own), pull = jax.vjp(losses, _found(params, path))
    length = lambda *cotangents: optax.global_norm(pull(cotangents))
    one, none = jnp.ones_like(own), jnp.zeros_like(own)
    return jnp.clip(length(one, none) / (length(none, one) + DAMPING), 0.0, MOST)


def _found(params: Any, path: Sequence[str]) -> Any:
    for depth, name in enumerate(path):
        if name not in params:
            raise ValueError(
                f"no layer {'/'.join(path)!r}: {'/'.join(path[:depth]) or 'the model'} has {', '.join(params)}"
            )
        params = params[name]
    return params


def _replaced(params: Any, path: Sequence[str], value: Any) -> Any:
    return value if not path else {**params, path[0]: _replaced(params[path[0]], path[1:], value)}
