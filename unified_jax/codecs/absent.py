"""NoPictures: the codec of a model that only reads and writes text."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from unified_jax.core.types import AnyArray, PRNGKeyArray


@dataclasses.dataclass(frozen=True)
class NoPictures:
    """No parameters; a picture raises ValueError, in one line that a user can act on."""

    shape = ()
    dtype = np.int32

    def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
        return {}

    def grid(self, height: int, width: int) -> NoReturn:
        raise ValueError("this model reads and writes text only: leave pictures out of the document")

    def encode(self, params: Mapping[str, Any], pixels: AnyArray, *, rng: PRNGKeyArray | None = None) -> NoReturn:
        self.grid(*pixels.shape[1:3])

    def decode(self, params: Mapping[str, Any], values: AnyArray) -> NoReturn:
        self.grid(*values.shape[1:3])
