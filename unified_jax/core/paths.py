"""Names of parameters: the path of a leaf in the parameter tree, joined by slashes."""

from typing import Any

import jax


def path_name(path: tuple[Any, ...]) -> str:
    """('backbone', 'layer', 'q_main', 'kernel') -> "backbone/layer/q_main/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
