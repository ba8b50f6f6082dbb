"""Rendering: a scene becomes pixels, a deterministic function of the scene and the world.

A picture is ``background + sum over things of coverage * (colour - background)``, where coverage is the fraction of
each pixel inside the thing. Things keep inside their cells, so the sum is exact.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

from unified_jax.data.sources.shapes.scene import COLOURS, SIZES, Place, Scene, World

SAMPLES = 8  # per pixel side


def _triangle(x, y):
    return (y <= 0.8) & (np.abs(x) <= (y + 1) / 1.8)


def _cross(x, y):
    x, y = np.abs(x), np.abs(y)
    return (np.minimum(x, y) <= 0.32) & (np.maximum(x, y) <= 1)


def _star(x, y):
    # The five-pointed star as a union of five kites, folded onto one by symmetry.
    sector = 2 * np.pi / 5
    angle = np.abs((np.arctan2(x, -y) + sector / 2) % sector - sector / 2)
    radius, inner = np.hypot(x, y), 0.42
    across, along = radius * np.sin(angle), radius * np.cos(angle)
    notch = inner * math.cos(sector / 2), inner * math.sin(sector / 2)
    return across * (1 - notch[0]) <= (1 - along) * notch[1]


def _heart(x, y):
    x, y = 1.15 * x, 0.1 - 1.15 * y
    ball = x**2 + y**2 - 1
    return ball**3 <= x**2 * y**3


# Each takes sample points in units of the radius (x right, y down) and says which lie inside.
INSIDE: dict[str, Callable] = {
    "circle": lambda x, y: x**2 + y**2 <= 1,
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) <= 0.88,
    "triangle": _triangle,
    "cross": _cross,
    "diamond": lambda x, y: np.abs(x) + np.abs(y) <= 1,
    "ring": lambda x, y: (x**2 + y**2 <= 1) & (x**2 + y**2 >= 0.3),
    "star": _star,
    "heart": _heart,
}


@functools.lru_cache(maxsize=1024)
def window(world: World, place: Place) -> tuple[slice, slice]:
    """The pixels that hold the cell of ``place``: rows and columns, the same shape for every place of a world."""
    return _span(place[0], world.rows, world.resolution), _span(place[1], world.cols, world.resolution)


def _span(index: int, cells: int, resolution: int) -> slice:
    # One pixel more than a cell, so that the window holds a cell that starts between two pixels.
    length = min(math.ceil(resolution / cells) + 1, resolution)
    start = min(index * resolution // cells, resolution - length)
    return slice(start, start + length)


@functools.lru_cache(maxsize=8192)
def coverage(world: World, shape: str, size: str, place: Place) -> np.ndarray:
    """Fraction of each pixel of ``window(world, place)`` inside the thing: read-only float32 [window 1], 0 to 1."""
    rows, cols = window(world, place)
    radius = SIZES[size] * world.resolution / max(world.rows, world.cols)
    y = _samples(rows, (place[0] + 0.5) * world.resolution / world.rows, radius)
    x = _samples(cols, (place[1] + 0.5) * world.resolution / world.cols, radius)
    inside = INSIDE[shape](x[None, :], y[:, None])
    mask = inside.reshape(rows.stop - rows.start, SAMPLES, -1, SAMPLES).mean((1, 3), dtype=np.float32)[..., None]
    mask.setflags(write=False)
    return mask


def _samples(span: slice, centre: float, radius: float) -> np.ndarray:
    count = (span.stop - span.start) * SAMPLES
    return (span.start + (np.arange(count) + 0.5) / SAMPLES - centre) / radius


@functools.lru_cache(maxsize=256)
def _contrast(world: World, colour: str) -> np.ndarray:
    return np.subtract(COLOURS[colour], world.background, dtype=np.float32)


@functools.lru_cache(maxsize=16)
def _blank(world: World) -> np.ndarray:
    # The half makes the final cast round to nearest.
    background = np.asarray(world.background, np.float32) + 0.5
    return np.broadcast_to(background, (world.resolution, world.resolution, 3)).copy()


def render(scene: Scene, world: World) -> np.ndarray:
    """Draws ``scene``: uint8 [resolution resolution 3], sRGB."""
    canvas = _blank(world).copy()
    for thing in scene:
        mask = coverage(world, thing.shape, thing.size, thing.place)
        canvas[window(world, thing.place)] += mask * _contrast(world, thing.colour)
    return canvas.astype(np.uint8)
