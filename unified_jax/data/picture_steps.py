"""The steps of published image processors: uint8 [H W 3] -> uint8, and at the end float32.

Resizing is Pillow's, which antialiases, as in the published processors that the encoders were trained with.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from unified_jax.core.types import Float, Shaped
from unified_jax.data.picture_size import Size, best_resolution, inside

Step = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Resize:
    """To the size that ``size`` gives for (height, width)."""

    size: Size
    filter: Image.Resampling

    def __call__(self, pixels: Shaped[np.ndarray, "H W 3"]) -> Shaped[np.ndarray, "h w 3"]:
        height, width = self.size(*pixels.shape[:2])
        return np.asarray(Image.fromarray(pixels).resize((width, height), self.filter))


@dataclasses.dataclass(frozen=True)
class CenterCrop:
    """The middle; black around what is smaller."""

    height: int
    width: int

    def __call__(self, pixels: Shaped[np.ndarray, "H W 3"]) -> Shaped[np.ndarray, "h w 3"]:
        cut = np.zeros((self.height, self.width, pixels.shape[-1]), pixels.dtype)
        rows, columns = (_overlap(*sides) for sides in zip(pixels.shape, cut.shape[:2]))
        cut[rows[1], columns[1]] = pixels[rows[0], columns[0]]
        return cut


@dataclasses.dataclass(frozen=True)
class PadSquare:
    """In the middle of a square of one colour (LLaVA 1.5, arXiv:2310.03744, section 3.2)."""

    colour: tuple[int, int, int]

    def __call__(self, pixels: Shaped[np.ndarray, "H W 3"]) -> Shaped[np.ndarray, "S S 3"]:
        side = max(pixels.shape[:2])
        square = np.broadcast_to(np.asarray(self.colour, pixels.dtype), (side, side, 3)).copy()
        _put_in_the_middle(pixels, square)
        return square


@dataclasses.dataclass(frozen=True)
class PadBehind:
    """``value`` behind the last row and column until both sides are multiples of ``step``, (height, width)."""

    step: tuple[int, int]
    value: float

    def __call__(self, pixels: Shaped[np.ndarray, "H W 3"]) -> Shaped[np.ndarray, "h w 3"]:
        rest = [(0, -side % step) for side, step in zip(pixels.shape, self.step)]
        return np.pad(pixels, (*rest, (0, 0)), constant_values=pixels.dtype.type(self.value))


@dataclasses.dataclass(frozen=True)
class Tiles:
    """The picture small, and then large in squares: [N side side 3] (AnyRes: LLaVA-NeXT; arXiv:2408.03326, 3.2).

    side: of a tile. resolutions: (height, width), multiples of ``side``; in the best of them it lies between black
    borders.
    """

    side: int
    resolutions: tuple[tuple[int, int], ...]
    filter: Image.Resampling

    def __call__(self, pixels: Shaped[np.ndarray, "H W 3"]) -> Shaped[np.ndarray, "N S S 3"]:
        height, width = best = best_resolution(*pixels.shape[:2], resolutions=self.resolutions)
        resize = lambda height, width: np.asarray(Image.fromarray(pixels).resize((width, height), self.filter))
        framed = np.zeros((*best, 3), pixels.dtype)
        _put_in_the_middle(resize(*inside(*pixels.shape[:2], size=best, rounded=math.ceil)), framed)
        rows, columns = height // self.side, width // self.side
        tiles = framed.reshape(rows, self.side, columns, self.side, 3).swapaxes(1, 2)
        return np.concatenate([resize(self.side, self.side)[None], tiles.reshape(-1, self.side, self.side, 3)])


@dataclasses.dataclass(frozen=True)
class Affine:
    """(pixels * factor - mean) / std, float32."""

    factor: float
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __call__(self, pixels: Shaped[np.ndarray, "... 3"]) -> Float[np.ndarray, "... 3"]:
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        return (pixels.astype(np.float32) * np.float32(self.factor) - mean) / std


def _put_in_the_middle(pixels: Shaped[np.ndarray, "h w 3"], into: Shaped[np.ndarray, "H W 3"]) -> None:
    """Of an odd rest the larger half lies behind."""
    top, left = ((whole - part) // 2 for whole, part in zip(into.shape[:2], pixels.shape))
    into[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels


def _overlap(side: int, wanted: int) -> tuple[slice, slice]:
    """Where the middle ``wanted`` of ``side`` is cut from, and where it lies in what is cut."""
    if side >= wanted:
        start = (side - wanted) // 2
        return slice(start, start + wanted), slice(0, wanted)
    # Of an odd rest the larger half lies in front, as in the published processors.
    start = -((side - wanted) // 2)
    return slice(0, side), slice(start, start + side)
