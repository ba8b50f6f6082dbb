"""Grader for pictures of shapes: reads the exact scene out of pixels by analysis by synthesis, or says why it cannot.

The picture less its background is compared, cell by cell, with every template (shape x size). With m a template's
coverage and d the cell's difference from the background, least squares gives the template's colour c and the share of
energy that it leaves unexplained; the best template leaves least, and its colour is named by the nearest.

    c = (m . d) / (m . m)        rest = |d|^2 / (m . m)|c|^2 - 1

The scene counts only when every cell convinces: an empty cell is clean; a thing leaves little unexplained, does not
lean towards another template, and is near its named colour; and the scene, rendered, differs nowhere by a visible spot.
Anything else is unreadable rather than the nearest scene.
One limit is inherent: two things of one shape and size in two colours, blended, are a thing in the mixed colour, which
may have a name.

In the default world at 32 px and above, at least 99% of pictures are still read right under each of ``BLUR`` (Gaussian,
sigma as a fraction of the resolution), ``NOISE`` (Gaussian, sigma in grey levels) and ``JPEG`` (quality, 4:4:4). With
all shapes and colours, some thin and faint, the same holds at two thirds of that blur and noise.
"""

import dataclasses
import functools
import itertools

import numpy as np

from unified_jax.data.sources.shapes import COLOURS, Scene, Thing, World, place_name, render
from unified_jax.data.sources.shapes.rendering import coverage, window

BLUR = 0.015  # half a pixel at 32 px
NOISE = 12.0
JPEG = 85

# The gates. Between them lies what the levels above do to a right picture, and what a person would call wrong.
GHOST = 0.15  # colour strength, relative to the faintest colour of the world, from which a cell is not empty
DIRT = 15.0  # RMS grey levels from which an empty cell is not clean
REST = 0.12  # energy that a thing may leave unexplained, relative to what it explains
LEAN = 0.33  # how far a thing may lie on the way to another template; 0.5 is half and half
TINT = 0.2  # distance of the fitted colour from the named one, relative to the contrast of the named one
SPOT = 65.0  # RGB distance by which a patch of a fifth of a cell may differ from the nearest scene


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a picture shows.

    scene: None when any cell is unreadable or there is nothing at all.
    residual: RMS difference between the picture and the nearest scene, in grey levels.
    reason: why there is no scene; None when there is one.
    """

    scene: Scene | None
    residual: float
    reason: str | None = None


def read(pixels: np.ndarray, world: World) -> Reading:
    """Reads one picture, uint8 [resolution resolution 3]. Raises ValueError when the pixels do not fit the world."""
    return read_batch(np.asarray(pixels)[None], world)[0]


def read_batch(pixels: np.ndarray, world: World) -> list[Reading]:
    """Reads pictures, uint8 [N resolution resolution 3]. Raises ValueError when the pixels do not fit the world."""
    side = world.resolution
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1:] != (side, side, 3):
        raise ValueError(f"pictures of this world are uint8 [{side} {side} 3], got {pixels.dtype}{[*pixels.shape[1:]]}")
    cells = _fit(pixels, world)
    return [_reading(cells, index, picture, world) for index, picture in enumerate(pixels)]


def grade(scene: Scene, pixels: np.ndarray, world: World) -> bool:
    """Whether ``pixels``, uint8 [resolution resolution 3], show ``scene`` and nothing else."""
    return read(pixels, world).scene == scene


@dataclasses.dataclass(frozen=True)
class _Templates:
    """What reading needs to know of a world. Places are in reading order; kinds are (shape, size) pairs."""

    kinds: tuple[tuple[str, str], ...]
    pixels: np.ndarray  # Int[places P]           flat index into the picture of each pixel of a place's window
    own: np.ndarray  # Float[places P 1]          1 where the pixel is the place's: windows overlap, cells do not
    masks: np.ndarray  # Float[places kinds P]    coverage, 0 where not own
    gram: np.ndarray  # Float[places kinds kinds] overlap of each two templates; the diagonal is m . m
    contrast: np.ndarray  # Float[colours 3]      colour less background

    @functools.cached_property
    def area(self) -> np.ndarray:  # Float[places kinds]
        return np.diagonal(self.gram, axis1=1, axis2=2)


@functools.lru_cache(maxsize=16)
def _templates(world: World) -> _Templates:
    kinds = tuple(itertools.product(world.shapes, world.sizes))
    grid = np.arange(world.resolution**2).reshape(world.resolution, world.resolution)
    pixels = np.stack([grid[window(world, place)].ravel() for place in world.places])
    row, col = ((index + 0.5) / world.resolution for index in np.divmod(pixels, world.resolution))
    cell = np.stack([row * world.rows, col * world.cols], axis=-1).astype(int)
    own = (cell == np.array(world.places)[:, None]).all(-1).astype(np.float32)
    masks = np.stack([[coverage(world, *kind, place).ravel() for kind in kinds] for place in world.places])
    masks = masks * own[:, None]
    contrast = np.subtract([COLOURS[name] for name in world.colours], world.background, dtype=np.float32)
    return _Templates(kinds, pixels, own[..., None], masks, masks @ masks.swapaxes(1, 2), contrast)


@dataclasses.dataclass(frozen=True)
class _Cells:
    """The best template of every cell of every picture, and the measures that the gates judge. All are [N places]."""

    kind: np.ndarray  # index into the templates' kinds
    colour: np.ndarray  # index into the world's colours
    ghost: np.ndarray
    dirt: np.ndarray
    rest: np.ndarray
    lean: np.ndarray
    tint: np.ndarray

    @property
    def empty(self) -> np.ndarray:
        return self.ghost < GHOST


def _fit(pixels: np.ndarray, world: World) -> _Cells:
    known = _templates(world)
    flat = pixels.reshape(len(pixels), -1, 3)
    difference = (flat[:, known.pixels] - np.asarray(world.background, np.float32)) * known.own  # [N places P 3]
    energy = np.einsum("npsc,npsc->np", difference, difference)
    products = known.masks @ difference  # [N places kinds 3]
    colours = products / known.area[..., None]
    explained = (products * colours).sum(-1)  # [N places kinds]

    kind = explained.argmax(-1)
    colour = np.take_along_axis(colours, kind[..., None, None], 2)[..., 0, :]  # [N places 3]
    strength = (colour**2).sum(-1) + 1e-6
    place = np.arange(len(world.places))
    area, overlap = known.area[place, kind], known.gram[place, kind]  # [N places], [N places kinds]

    # Where each template lies between the best (0) and another (1), measured along the line that joins the two.
    towards = np.einsum("npkc,npc->npk", products, colour) / strength[..., None] - overlap
    apart = area[..., None] + known.area - 2 * overlap
    lean = np.where(apart > 1e-3, towards / np.maximum(apart, 1e-3), 0).max(-1)

    contrast = np.linalg.norm(known.contrast, axis=-1)  # [colours]
    distance = np.linalg.norm(colour[..., None, :] - known.contrast, axis=-1)  # [N places colours]
    named = distance.argmin(-1)
    left = np.maximum(energy - area * strength, 0)  # rounding may take it below
    ghost = np.sqrt((colours**2).sum(-1).max(-1)) / contrast.min()
    return _Cells(
        kind=kind,
        colour=named,
        ghost=ghost,
        dirt=np.sqrt(energy / (3 * known.own.sum((1, 2)))),
        rest=left / (area * strength),
        lean=lean,
        tint=distance.min(-1) / contrast[named],
    )


def _reading(cells: _Cells, index: int, pixels: np.ndarray, world: World) -> Reading:
    things, faults = [], []
    for i, place in enumerate(world.places):
        at = index, i
        shape, size = _templates(world).kinds[cells.kind[at]]
        thing = Thing(shape, world.colours[cells.colour[at]], size, place)
        if not cells.empty[at]:
            things.append(thing)
        fault = _fault(cells, at, thing)
        if fault:
            faults.append(f"{place_name(place, world)}: {fault}")
    scene = Scene(things)
    difference = pixels - render(scene, world).astype(np.float32)
    if _spot(difference, world) > SPOT:
        faults.append("a spot that no thing explains")
    if not things:
        faults.append("nothing to be seen")
    residual = float(np.sqrt(np.square(difference).mean()))
    return Reading(None, residual, faults[0]) if faults else Reading(scene, residual)


def _spot(difference: np.ndarray, world: World) -> float:
    """The strongest mean difference over any square patch of a fifth of a cell, in RGB distance."""
    side = round(world.resolution / max(world.rows, world.cols) / 5)
    for axis in (0, 1):
        difference = np.lib.stride_tricks.sliding_window_view(difference, side, axis).mean(-1)
    return float(np.linalg.norm(difference, axis=-1).max())


def _fault(cells: _Cells, at: tuple[int, int], thing: Thing) -> str | None:
    if cells.empty[at]:
        return "neither empty nor a thing" if cells.dirt[at] > DIRT else None
    if cells.rest[at] > REST:
        return f"not a {thing.size} {thing.shape} ({cells.rest[at]:.0%} unexplained)"
    if cells.lean[at] > LEAN:
        return f"not quite a {thing.size} {thing.shape} ({cells.lean[at]:.0%} of the way to another shape or size)"
    if cells.tint[at] > TINT:
        return f"not quite {thing.colour} ({cells.tint[at]:.0%} off)"
    return None
