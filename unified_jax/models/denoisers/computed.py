"""The same denoiser, computed otherwise: choices of speed and memory that no published config makes."""

import dataclasses
from typing import Any

import flax.linen as nn

from unified_jax.models import lm
from unified_jax.models.published import Component
from unified_jax.nn.stack import Stack


def computed(component: Component, **choices: Any) -> Component:
    """choices: of ``lm.computed`` (attention, remat, unroll), for every stack there is in the network."""
    return dataclasses.replace(component, module=_each_stack(component.module, choices))


def _each_stack(piece: Any, choices: dict[str, Any]) -> Any:
    """Pieces that hold no stack are given back as they are."""
    if isinstance(piece, Stack):
        return lm.computed(piece, **choices)
    if isinstance(piece, tuple):
        return tuple(_each_stack(each, choices) for each in piece)
    if not isinstance(piece, nn.Module):
        return piece
    fields = {field.name: getattr(piece, field.name) for field in dataclasses.fields(piece) if field.init}
    inner = {name: value for name, value in fields.items() if isinstance(value, nn.Module | tuple) and name != "parent"}
    return piece.clone(**{name: _each_stack(value, choices) for name, value in inner.items()})
