"""Split: which combinations of shape, colour, size and place a model may see in training, and which are kept for tests.

A fifth is held out. The choice is greedy: always the combination whose shape, colour, size and place are held out least
so far, ties broken by a stable hash. Every word is therefore seen in training, in nearly equal share.
"""

import dataclasses
import functools
import hashlib
import itertools

import numpy as np

from unified_jax.data.sources.shapes.scene import Place, Scene, Thing, World

SPLITS = ("train", "held_out")
HELD_OUT = 0.2


@dataclasses.dataclass(frozen=True)
class Combinations:
    """The things that one split may show."""

    things: tuple[Thing, ...]

    @functools.cached_property
    def by_place(self) -> dict[Place, tuple[Thing, ...]]:
        """The things that may stand at each place; a place where none may is absent."""
        ordered = sorted(self.things, key=lambda thing: thing.place)
        return {place: tuple(group) for place, group in itertools.groupby(ordered, lambda thing: thing.place)}

    @functools.cached_property
    def _members(self) -> frozenset[Thing]:
        return frozenset(self.things)

    def __contains__(self, thing: Thing) -> bool:
        return thing in self._members

    def __len__(self) -> int:
        return len(self.things)

    def scene(self, count: int, rng: np.random.Generator) -> Scene:
        """``count`` random things at different places. ``count`` must not exceed ``len(by_place)``."""
        groups = tuple(self.by_place.values())
        chosen = rng.permutation(len(groups))[:count]
        return Scene([groups[i][rng.integers(len(groups[i]))] for i in chosen])


@functools.lru_cache(maxsize=16)
def combinations(world: World, split: str) -> Combinations:
    """The combinations of ``split``: ``train`` or ``held_out``; raises ValueError for any other name."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; known: {', '.join(SPLITS)}")
    things = tuple(
        Thing(shape, colour, size, place)
        for shape, colour, size, place in itertools.product(world.shapes, world.colours, world.sizes, world.places)
    )
    held_out = _held_out(things)
    return Combinations(tuple(thing for thing in things if (thing in held_out) == (split == "held_out")))


def _held_out(things: tuple[Thing, ...]) -> frozenset[Thing]:
    ordered = sorted(things, key=_stable_hash)
    # For each attribute, the value of every thing as a number.
    columns = [
        np.unique([str(getattr(thing, field.name)) for thing in ordered], return_inverse=True)[1]
        for field in dataclasses.fields(Thing)
    ]
    burden = np.zeros(len(ordered))  # how much a thing's values are held out already
    chosen = []
    for _ in range(int(HELD_OUT * len(ordered))):
        best = int(np.argmin(burden))
        chosen.append(ordered[best])
        for column in columns:
            burden[column == column[best]] += column.max() + 1
        burden[best] = np.inf
    return frozenset(chosen)


def _stable_hash(thing: Thing) -> bytes:
    return hashlib.blake2b(repr(dataclasses.astuple(thing)).encode(), digest_size=8).digest()
