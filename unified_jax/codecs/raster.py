"""Raster: the entries of another codec, those that follow each other in reading order of the whole picture as one.

[h w C] <-> [h/size w/size (size size C)], the order in memory kept: no square, but a stretch of rows
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from unified_jax.codecs.grouped import Grouped
from unified_jax.core.types import AnyArray, Float


class Raster(Grouped):
    """As ``Grouped``, of as many entries."""

    def group(self, values: Float[AnyArray, "B H W C"]) -> Float[AnyArray, "B h w P"]:
        batch, height, width, _ = values.shape
        return values.reshape(batch, height // self.size, width // self.size, *self.shape)

    def decode(self, params: Mapping[str, Any], values: Float[AnyArray, "B h w P"]) -> Float[np.ndarray, "B H W 3"]:
        """Raises ValueError as the other codec."""
        batch, height, width, _ = values.shape
        return self.codec.decode(params, values.reshape(batch, height * self.size, width * self.size, -1))
