"""The quantisers by the names that a config gives them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn

from unified_jax.codecs.quantisers.base import rotated, straight_through, unchanged, unit
from unified_jax.codecs.quantisers.binary import lookup_free, spherical
from unified_jax.codecs.quantisers.moving import Moving
from unified_jax.codecs.quantisers.nearest import Nearest
from unified_jax.codecs.quantisers.residual import Residual
from unified_jax.codecs.quantisers.scalar import Scalar
from unified_jax.codecs.quantisers.scales import Scales

KINDS: dict[str, Callable[..., nn.Module]] = {
    "nearest": Nearest,
    "moving": Moving,
    "lookup_free": lookup_free,
    "spherical": spherical,
    "scalar": Scalar,
    "residual": Residual,
    "scales": Scales,
}
FUNCTIONS: dict[str, dict[str, Callable[..., Any]]] = {
    "measure": {"unit": unit, "unchanged": unchanged},
    "through": {"straight": straight_through, "rotated": rotated},
}


def find_quantiser(fields: Mapping[str, Any]) -> nn.Module:
    """{"kind": "nearest", "size": 512, "width": 8, ...} -> the module; ``stage`` is a mapping of its own.

    Raises ValueError for an unknown kind, field or name of a function.
    """
    fields = dict(fields)
    kind = _choose("quantiser", KINDS, fields.pop("kind", None))
    for name, choices in FUNCTIONS.items():
        if name in fields:
            fields[name] = _choose(name, choices, fields[name])
    if "stage" in fields:
        fields["stage"] = partial(find_quantiser, fields["stage"])
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    try:
        return kind(**fields)
    except TypeError as error:
        raise ValueError(f"quantiser: {error}") from None


def _choose(what: str, choices: Mapping[str, Any], name: Any) -> Any:
    if name not in choices:
        raise ValueError(f"unknown {what} {name!r}; choose one of {', '.join(choices)}")
    return choices[name]
