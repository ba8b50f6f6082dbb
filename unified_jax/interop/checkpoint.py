"""A published checkpoint that is not yet read: its config, and what each tensor is and how to get it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import DTypeLike


@dataclass(frozen=True)
class Tensor:
    """shape and dtype, as the header states them; ``read`` gives the values and keeps no hold of them."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    def astype(self, dtype: DTypeLike) -> "Tensor":
        """The same tensor, converted when it is read."""
        dtype = jnp.dtype(dtype)
        return replace(self, dtype=dtype, read=lambda: self.read().astype(dtype, copy=False))


@dataclass(frozen=True)
class Checkpoint:
    """path: where it lies, for messages. config: the fields of its ``config.json``. tensors: by published name."""

    path: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
