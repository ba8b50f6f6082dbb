"""The library's one letter key for shapes, and the array types annotations use.

    B batch · T slots (queries) · S key slots · N entries of a stream · D width · H heads · K key/value heads
    G query heads per key/value head · C head dim or channels · F mlp hidden · V vocabulary · P patch or latent width
    L layers · A position axes (sequence index, row, column) · E experts · M modalities · R rows sorted by expert
    B F H W C of pictures and videos: batch, frames, rows, columns, channels; small letters after a change of grid

Annotations are jaxtyping's; nothing is checked at run time in the library. ``tests/conftest.py`` installs the import
hook that turns every annotation into a check while tests run.
"""

from typing import Any

import jax
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, Shaped

AnyArray = jax.Array | np.ndarray  # where host arrays are as welcome as device arrays
Leaf = Any  # a field of a pytree: an array, but a shape, a sharding or an index spec after ``tree.map``

__all__ = ["AnyArray", "Array", "Bool", "DTypeLike", "Float", "Int", "Key", "Leaf", "PRNGKeyArray", "Shaped"]
