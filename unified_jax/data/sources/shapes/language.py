"""Language: the words for places, things and scenes, and the exact way back from a caption to its scene."""

import functools
import re
from collections.abc import Collection

from unified_jax.data.sources.shapes.scene import Place, Scene, Thing, World

ROW_WORDS = {1: ("",), 2: ("top", "bottom"), 3: ("top", "", "bottom")}
COL_WORDS = {1: ("",), 2: ("left", "right"), 3: ("left", "", "right")}

# The words a thing may be called by; where its shape is not among them, "thing" stands in.
CALLED = (
    ("shape",),
    ("colour",),
    ("colour", "shape"),
    ("size", "shape"),
    ("size", "colour", "shape"),
    ("place",),
)


def place_name(place: Place, world: World) -> str:
    """``top left`` or ``centre`` on grids up to 3x3, ``row 2 column 5`` on finer ones."""
    row, col = place
    if world.rows > 3 or world.cols > 3:
        return f"row {row + 1} column {col + 1}"
    words = (ROW_WORDS[world.rows][row], COL_WORDS[world.cols][col])
    return " ".join(filter(None, words)) or "centre"


def where(place: Place, world: World) -> str:
    """The place as said of a thing standing there: ``at the top left``, ``in the centre``, ``on the right``."""
    name = place_name(place, world)
    if name.startswith("row"):
        return f"in {name}"
    preposition = {"centre": "in", "left": "on", "right": "on"}.get(name, "at")
    return f"{preposition} the {name}"


def whither(place: Place, world: World) -> str:
    """The place as said of a thing going there: ``to the top left``."""
    name = place_name(place, world)
    return f"to {name}" if name.startswith("row") else f"to the {name}"


def describe(thing: Thing, world: World) -> str:
    """``a small red circle at the top left``."""
    return f"a {thing.size} {thing.colour} {thing.shape} {where(thing.place, world)}"


def caption(scene: Scene, world: World) -> str:
    """Everything there is to say about ``scene``, in reading order; ``parse_caption`` inverts it."""
    *others, last = (describe(thing, world) for thing in scene)
    return f"{', '.join(others)} and {last}" if others else last


def parse_caption(text: str, world: World) -> Scene | None:
    """The scene that ``text`` describes, the things in any order; None when it is not a caption of this world."""
    parsed = [_parse_thing(phrase, world) for phrase in re.split(r", | and ", text.strip())]
    if None in parsed or len({thing.place for thing in parsed}) < len(parsed):
        return None
    return Scene(parsed)


def _parse_thing(phrase: str, world: World) -> Thing | None:
    match = re.fullmatch(r"a (\w+) (\w+) (\w+) (.+)", phrase)
    if not match:
        return None
    size, colour, shape, place = match.groups()
    known = size in world.sizes and colour in world.colours and shape in world.shapes and place in _places(world)
    return Thing(shape, colour, size, _places(world)[place]) if known else None


@functools.lru_cache(maxsize=16)
def _places(world: World) -> dict[str, Place]:
    return {where(place, world): place for place in world.places}


def references(thing: Thing, scene: Scene, world: World, without: Collection[str] = ()) -> list[str]:
    """Phrases that mean ``thing`` and nothing else in ``scene``: ``the circle``, ``the thing at the top left``.

    ``without`` names the attributes that must not be given away. A phrase always exists unless ``place`` is among them.
    """
    patterns = (words for words in CALLED if not set(words) & set(without))
    return [_reference(thing, words, world) for words in patterns if _unique(thing, words, scene)]


def _unique(thing: Thing, words: tuple[str, ...], scene: Scene) -> bool:
    return sum(all(getattr(other, word) == getattr(thing, word) for word in words) for other in scene) == 1


def _reference(thing: Thing, words: tuple[str, ...], world: World) -> str:
    adjectives = [getattr(thing, word) for word in ("size", "colour") if word in words]
    noun = thing.shape if "shape" in words else "thing"
    position = [where(thing.place, world)] if "place" in words else []
    return " ".join(["the", *adjectives, noun, *position])
