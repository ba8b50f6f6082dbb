"""Scenes: what a picture shows, as plain values. A thing has a shape, a colour, a size and a place on a grid."""

import dataclasses
import math
from collections.abc import Iterable, Iterator

Place = tuple[int, int]  # (row, column), counted from the top left
Rgb = tuple[int, int, int]

SHAPES = ("circle", "square", "triangle", "cross", "diamond", "ring", "star", "heart")
COLOURS: dict[str, Rgb] = {
    "red": (214, 30, 40),
    "green": (30, 150, 60),
    "blue": (30, 80, 220),
    "yellow": (250, 215, 30),
    "purple": (150, 50, 200),
    "orange": (250, 135, 0),
    "black": (25, 25, 30),
    "pink": (255, 110, 190),
    "cyan": (20, 200, 220),
    "brown": (120, 70, 30),
}
SIZES = {"small": 0.28, "large": 0.46}  # radius, as a fraction of the cell
MAX_THINGS = 4  # that a scene made at random holds
MIN_CELL = 8  # pixels; below this a small ring has no visible hole
MIN_CONTRAST = 80  # RGB distance between the background and every colour


@dataclasses.dataclass(frozen=True)
class Thing:
    """One object: words for what it is, and the cell at whose centre it stands."""

    shape: str
    colour: str
    size: str
    place: Place


@dataclasses.dataclass(frozen=True)
class Scene:
    """Things in reading order (row by row), so that equal pictures are equal scenes.

    Raises ValueError when two things share a place.
    """

    things: tuple[Thing, ...]

    def __init__(self, things: Iterable[Thing]):
        ordered = tuple(sorted(things, key=lambda thing: thing.place))
        for first, second in zip(ordered, ordered[1:]):
            if first.place == second.place:
                raise ValueError(f"two things at place {first.place}: a place holds one")
        object.__setattr__(self, "things", ordered)

    def __iter__(self) -> Iterator[Thing]:
        return iter(self.things)

    def __len__(self) -> int:
        return len(self.things)

    def replace(self, old: Thing, *new: Thing) -> "Scene":
        """The scene with ``old`` taken out and ``new`` put in."""
        return Scene([*(thing for thing in self.things if thing != old), *new])


@dataclasses.dataclass(frozen=True)
class World:
    """The vocabulary and geometry of a family of scenes.

    The default has 4 shapes x 6 colours x 2 sizes x 9 places = 432 one-object scenes. ``resolution`` is the side of
    the square picture in pixels. Raises ValueError for unknown words, a grid too fine for the resolution, or a colour
    that would vanish into the background.
    """

    shapes: tuple[str, ...] = ("circle", "square", "triangle", "cross")
    colours: tuple[str, ...] = ("red", "green", "blue", "yellow", "purple", "orange")
    sizes: tuple[str, ...] = ("small", "large")
    rows: int = 3
    cols: int = 3
    resolution: int = 32
    background: Rgb = (244, 244, 240)

    def __post_init__(self):
        for field, known in (("shapes", SHAPES), ("colours", COLOURS), ("sizes", SIZES)):
            names = tuple(getattr(self, field))
            _check_names(field, names, known)
            object.__setattr__(self, field, names)
        object.__setattr__(self, "background", tuple(self.background))
        self._check_geometry()
        for name in self.colours:
            if math.dist(COLOURS[name], self.background) < MIN_CONTRAST:
                raise ValueError(f"{name} {COLOURS[name]} is too close to the background {self.background}")

    def _check_geometry(self):
        if min(self.rows, self.cols) < 1:
            raise ValueError(f"a grid needs at least one row and one column, got {self.rows}x{self.cols}")
        need = MIN_CELL * max(self.rows, self.cols)
        if self.resolution < need:
            raise ValueError(
                f"{self.resolution} px is too small for a {self.rows}x{self.cols} grid: use {need} or more"
            )

    @property
    def places(self) -> tuple[Place, ...]:
        """Every cell in reading order."""
        return tuple((row, col) for row in range(self.rows) for col in range(self.cols))


def _check_names(field: str, names: tuple[str, ...], known: Iterable[str]):
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"unknown {field} {', '.join(map(repr, unknown))}; known: {', '.join(known)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"{field} must be one or more different names, got {names}")
