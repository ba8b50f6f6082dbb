"""Parameter trees that are only shapes, by path."""

from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import unflatten_dict


def tree(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    return unflatten_dict({path: jax.ShapeDtypeStruct(shape, jnp.float32) for path, shape in shapes.items()}, sep="/")
