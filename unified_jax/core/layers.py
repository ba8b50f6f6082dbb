"""What every layer has of something: stacked in one array [L ...], or in a list of its layers, for loops over steps.

XLA on CPU copies a slice of an array each time a loop uses it; an element of a list it reads in place.
"""

from collections.abc import Callable
from typing import Any

import jax


def apart(tree: Any) -> Any:
    """Every array as a list of its layers."""
    return _map(list, tree)


def layer(tree: Any, i: int) -> Any:
    """What layer i has."""
    return _map(lambda x: x[i], tree)


def some(tree: Any, start: int, stop: int) -> Any:
    """What a few layers have."""
    return _map(lambda x: x[start:stop], tree)


def _map(function: Callable[[Any], Any], tree: Any) -> Any:
    return jax.tree.map(function, tree, is_leaf=lambda x: isinstance(x, list))
