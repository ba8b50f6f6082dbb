"""Grouped: the entries of another codec ``size`` x ``size`` at a time, as the patches of latents that a model reads.

[h w C] <-> [h/size w/size (size size C)], in the order row, column, channel (DiT, arXiv:2212.09748, section 3.2)
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from einops import rearrange

from unified_jax.codecs.base import Codec, whole_grid
from unified_jax.core.types import AnyArray, Float, PRNGKeyArray


@dataclasses.dataclass(frozen=True)
class Grouped:
    """codec: of entries [C]; its parameters are this one's."""

    codec: Codec
    size: int

    @property
    def dtype(self) -> Any:
        return self.codec.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.size**2 * self.codec.shape[0],)

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return whole_grid(*self.codec.grid(height, width), self.size)

    def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
        return self.codec.init(rng)

    def group(self, values: Float[AnyArray, "B H W C"]) -> Float[AnyArray, "B h w P"]:
        """The other codec's values as this one's."""
        return rearrange(values, "b (h p) (w q) c -> b h w (p q c)", p=self.size, q=self.size)

    def encode(
        self, params: Mapping[str, Any], pixels: Float[AnyArray, "B H W 3"], *, rng: PRNGKeyArray | None = None
    ) -> Float[np.ndarray, "B h w P"]:
        """Raises ValueError when the pictures do not divide into whole groups, and as the other codec."""
        self.grid(*pixels.shape[1:3])
        return self.group(self.codec.encode(params, pixels, rng=rng))

    def decode(self, params: Mapping[str, Any], values: Float[AnyArray, "B h w P"]) -> Float[np.ndarray, "B H W 3"]:
        """Raises ValueError as the other codec."""
        values = rearrange(values, "b h w (p q c) -> b (h p) (w q) c", p=self.size, q=self.size)
        return self.codec.decode(params, values)
