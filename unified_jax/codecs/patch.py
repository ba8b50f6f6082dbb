"""Patches: raw pixels, ``size`` x ``size`` at a time; nothing learned, nothing lost."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from einops import rearrange

from unified_jax.codecs.base import whole_grid
from unified_jax.core.types import AnyArray, Float, PRNGKeyArray


@dataclasses.dataclass(frozen=True)
class Patches:
    """[B H W 3] <-> [B h w (size * size * 3)], channel last inside a patch."""

    size: int
    dtype = np.float32

    @property
    def shape(self) -> tuple[int, ...]:
        return (3 * self.size**2,)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return whole_grid(height, width, self.size)

    def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
        return {}

    def encode(
        self, params: Mapping[str, Any], pixels: Float[AnyArray, "B H W 3"], *, rng: PRNGKeyArray | None = None
    ) -> Float[AnyArray, "B h w P"]:
        """Nothing is drawn."""
        return rearrange(pixels, "b (h p) (w q) c -> b h w (p q c)", p=self.size, q=self.size)

    def decode(self, params: Mapping[str, Any], values: Float[AnyArray, "B h w P"]) -> Float[AnyArray, "B H W 3"]:
        return rearrange(values, "b h w (p q c) -> b (h p) (w q) c", p=self.size, q=self.size)
