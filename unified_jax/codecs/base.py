"""Codec: pixels <-> values of a stream."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np

from unified_jax.core.types import AnyArray, Float, PRNGKeyArray, Shaped


@runtime_checkable
class Codec(Protocol):
    """A pure pair of maps with explicit parameters ({} where there are none).

    shape, dtype: one entry of the stream: () int32 for codes, (P,) float32 for patches and latents.
    """

    shape: tuple[int, ...]
    dtype: Any

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of entries for a picture; ValueError when the size does not fit the codec."""

    def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
        """Fresh parameters; {} for a codec that has none."""

    def encode(
        self, params: Mapping[str, Any], pixels: Float[AnyArray, "B H W 3"], *, rng: PRNGKeyArray | None = None
    ) -> Shaped[AnyArray, "B h w ..."]:
        """Pixels in [-1, 1] -> values. rng: what a codec with a posterior draws them by; None for the most probable."""

    def decode(self, params: Mapping[str, Any], values: Shaped[AnyArray, "B h w ..."]) -> Float[AnyArray, "B H W 3"]:
        """Values -> pixels, nominally in [-1, 1]."""


def to_float(pixels: np.ndarray) -> np.ndarray:
    """uint8 [0, 255] -> float32 [-1, 1]."""
    return pixels.astype(np.float32) / 127.5 - 1


def to_uint8(pixels: Float[AnyArray, "..."]) -> np.ndarray:
    """float [-1, 1] -> uint8, clipped and rounded."""
    return np.clip(np.rint((np.asarray(pixels, np.float32) + 1) * 127.5), 0, 255).astype(np.uint8)


def whole_grid(height: int, width: int, step: int) -> tuple[int, int]:
    """height / step, width / step; raises ValueError when either is not a whole positive number."""
    if min(height, width) < step or height % step or width % step:
        raise ValueError(f"image of {width}x{height} pixels: both sides must be positive multiples of {step}")
    return height // step, width // step
