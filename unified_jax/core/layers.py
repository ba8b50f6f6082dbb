"""What every layer has of something: one array [L ...], or a list of its layers, where they are run one by one.

XLA on CPU copies a slice of an array each time it is used; an element of a list it reads in place.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.core.types import Array

Layers = Array | list[Array]


def layer(tree: Any, i: int) -> Any:
    """What layer i has."""
    return _map(lambda x: x[i], tree)


def some(tree: Any, start: int, stop: int) -> Any:
    """The same of some layers."""
    return _map(lambda x: x[start:stop], tree)


def joined(*trees: Any) -> Any:
    """The layers of several, in order; all of them arrays, or all lists."""
    return _map(lambda *xs: sum(xs, []) if isinstance(xs[0], list) else jnp.concatenate(xs), *trees)


def _map(function: Callable[..., Any], *trees: Any) -> Any:
    return jax.tree.map(function, *trees, is_leaf=lambda x: isinstance(x, list))
