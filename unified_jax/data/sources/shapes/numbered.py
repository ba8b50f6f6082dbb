"""Numbered: drawings of single things that are asked for by a number, as of systems that draw classes."""

import dataclasses
import math

from unified_jax.data.document import Document, Text
from unified_jax.data.sources.shapes.scene import Scene, World
from unified_jax.data.sources.shapes.source import Shapes


@dataclasses.dataclass(frozen=True, eq=False)
class Numbered:
    """The documents of ``source``, whose scenes are of one thing, with the scene's number in place of its caption."""

    source: Shapes

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Document:
        document = self.source[index]
        number = Text(str(number_of(document.info["scene"], self.source.world)))
        return Document((number, *document.targets), document.info)


def number_of(scene: Scene, world: World) -> int:
    """Of a scene of one thing, from 0 to ``count(world)`` - 1. Raises ValueError for several things."""
    (thing,) = scene
    number = 0
    for value, values in zip((thing.shape, thing.colour, thing.size, thing.place), _axes(world)):
        number = len(values) * number + values.index(value)
    return number


def count(world: World) -> int:
    """How many scenes of one thing there are."""
    return math.prod(map(len, _axes(world)))


def _axes(world: World) -> tuple[tuple, ...]:
    return world.shapes, world.colours, world.sizes, world.places
