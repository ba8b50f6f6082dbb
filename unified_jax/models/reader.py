"""Reader: how a system sees pictures it is given: what its processor makes of them, then a codec's values."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import jax
import numpy as np

from unified_jax.codecs.base import Codec
from unified_jax.core.types import PRNGKeyArray
from unified_jax.data.document import Image
from unified_jax.data.plan import Span
from unified_jax.data.preprocess import preprocess_of


@dataclasses.dataclass(frozen=True, eq=False)
class Reader:
    """prepare: uint8 [H W 3] -> float32 [h w 3]. codec: that -> values, with the parameters under "codec"."""

    prepare: Callable[[np.ndarray], np.ndarray]
    codec: Codec

    def read(
        self,
        pictures: Sequence[np.ndarray],
        params: Mapping[str, Any] | None,
        *,
        rng: PRNGKeyArray | None = None,
    ) -> list[np.ndarray]:
        """The values of uint8 pictures; those that are prepared to one size go through the codec together.

        rng: what values are drawn by, where the codec has a posterior of them; None for the most probable.
        Raises ValueError for a picture that cannot be prepared.
        """
        prepared = [self.prepare(pixels) for pixels in pictures]
        alike: dict[tuple[int, ...], list[int]] = {}
        for i, pixels in enumerate(prepared):
            alike.setdefault(pixels.shape, []).append(i)
        values: list[Any] = [None] * len(prepared)
        own = (params or {}).get("codec", {})
        for places in alike.values():
            key = None if rng is None else jax.random.fold_in(rng, places[0])
            encoded = self.codec.encode(own, np.stack([prepared[i] for i in places]), rng=key)
            for i, one in zip(places, np.asarray(encoded, self.codec.dtype)):
                values[i] = one
        return values


@dataclasses.dataclass(frozen=True, eq=False)
class Readers:
    """Several ways to see one picture: its values are what each of them makes of it."""

    ways: Sequence[Reader]

    def read(
        self,
        pictures: Sequence[np.ndarray],
        params: Mapping[str, Any] | None,
        *,
        rng: PRNGKeyArray | None = None,
    ) -> list[tuple[np.ndarray, ...]]:
        """As of ``Reader``."""
        return list(zip(*(way.read(pictures, params, rng=rng) for way in self.ways)))


def square(side: int) -> Callable[[np.ndarray], np.ndarray]:
    """What many releases make of a picture without saying so in a file: its shorter side is ``side``, and the middle is
    kept, in [-1, 1].
    """
    size = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    return preprocess_of({"image_processor_type": "CLIPImageProcessor", "image_mean": 0.5, "image_std": 0.5, **size})


def unprepared(pixels: np.ndarray) -> NoReturn:
    """In place of a processor that a folder lacks. Raises ValueError."""
    raise ValueError("the folder has no preprocessor_config.json, which says how this model sees a picture")


def entries(image: Image, *, grid: tuple[int, int]) -> Span:
    """A given picture's values [rows columns P] as entries of the stream "vision", in reading order.

    They attend like words, but no part of a picture is run without the rest. Raises ValueError for one to be drawn or
    of another grid.
    """
    values = given(image)
    if values.shape[:2] != grid:
        raise ValueError(f"pictures are {grid[0]} x {grid[1]} patches here, found {values.shape[:2]}")
    return Span((("vision", values.reshape(grid[0] * grid[1], -1)),), learn=False, grid=grid)


def given(image: Image) -> np.ndarray:
    """A given picture's values. Raises ValueError for one to be drawn."""
    if image.values is None or image.target:
        raise ValueError("this model reads pictures and draws none: give the document no picture as a target")
    return image.values
