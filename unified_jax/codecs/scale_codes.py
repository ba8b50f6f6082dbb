"""ScaleCodes: a codec whose picture is one list of codes, scale after scale, and no grid of them."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from unified_jax.codecs.network import NetworkCodec
from unified_jax.core.types import PRNGKeyArray


@dataclasses.dataclass(frozen=True)
class ScaleCodes(NetworkCodec):
    """The ``NetworkCodec`` of a module whose quantiser is ``Scales``: pictures are codes [B n]. sides: of the scales'
    square grids, growing.
    """

    sides: tuple[int, ...] = ()

    def entries(self, height: int, width: int) -> tuple[int, ...]:
        """Raises ValueError for a picture whose grid is not the last scale's."""
        if self.grid(height, width) != (self.sides[-1],) * 2:
            side = self.sides[-1] * self.module.factor
            raise ValueError(f"image of {width}x{height} pixels: the scales of this codec are of {side}x{side}")
        return (sum(side**2 for side in self.sides),)

    def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
        side = self.sides[-1] * self.module.factor
        return self.module.init(rng, jnp.zeros((1, side, side, 3)))["params"]
