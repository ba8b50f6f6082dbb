"""Edits: an instruction that turns one scene into another, both made of the things a split may show."""

import dataclasses

import numpy as np

from unified_jax.data.sources.shapes.language import describe, references, whither
from unified_jax.data.sources.shapes.questions import pick
from unified_jax.data.sources.shapes.scene import MAX_THINGS, Place, Scene, Thing, World
from unified_jax.data.sources.shapes.split import Combinations


@dataclasses.dataclass(frozen=True)
class Edit:
    """What to do (one of ``KINDS``), said in words, and the scenes before and after."""

    kind: str
    instruction: str
    before: Scene
    after: Scene


def edit(before: Scene, world: World, allowed: Combinations, rng: np.random.Generator) -> Edit | None:
    """A random edit of ``before`` that stays within ``allowed``; None when no kind is possible."""
    names = list(KINDS)
    for i in rng.permutation(len(names)):
        done = KINDS[names[i]](before, world, allowed, rng)
        if done is not None:
            return Edit(names[i], done[0], before, done[1])
    return None


def _call(thing: Thing, scene: Scene, world: World, rng: np.random.Generator) -> str:
    return pick(references(thing, scene, world), rng)


def _free_places(scene: Scene, world: World) -> list[Place]:
    taken = {thing.place for thing in scene}
    return [place for place in world.places if place not in taken]


def _recolour(scene, world, allowed, rng) -> tuple[str, Scene] | None:
    old = pick(scene.things, rng)
    options = [dataclasses.replace(old, colour=colour) for colour in world.colours if colour != old.colour]
    options = [thing for thing in options if thing in allowed]
    if not options:
        return None
    new = pick(options, rng)
    return f"make {_call(old, scene, world, rng)} {new.colour}", scene.replace(old, new)


def _move(scene, world, allowed, rng) -> tuple[str, Scene] | None:
    old = pick(scene.things, rng)
    options = [dataclasses.replace(old, place=place) for place in _free_places(scene, world)]
    options = [thing for thing in options if thing in allowed]
    if not options:
        return None
    new = pick(options, rng)
    return f"move {_call(old, scene, world, rng)} {whither(new.place, world)}", scene.replace(old, new)


def _remove(scene, world, allowed, rng) -> tuple[str, Scene] | None:
    if len(scene) < 2:  # a scene is never empty
        return None
    old = pick(scene.things, rng)
    return f"remove {_call(old, scene, world, rng)}", scene.replace(old)


def _add(scene, world, allowed, rng) -> tuple[str, Scene] | None:
    places = [place for place in _free_places(scene, world) if place in allowed.by_place]
    if not places or len(scene) == MAX_THINGS:
        return None
    new = pick(allowed.by_place[pick(places, rng)], rng)
    return f"add {describe(new, world)}", Scene([*scene, new])


def _swap(scene, world, allowed, rng) -> tuple[str, Scene] | None:
    if len(scene) < 2:
        return None
    first, second = (scene.things[i] for i in rng.permutation(len(scene))[:2])
    moved = (dataclasses.replace(first, place=second.place), dataclasses.replace(second, place=first.place))
    after = scene.replace(first).replace(second, *moved)
    if after == scene or not all(thing in allowed for thing in moved):
        return None
    return f"swap {_call(first, scene, world, rng)} and {_call(second, scene, world, rng)}", after


# Each returns (instruction, scene after), or None when the scene does not allow the kind.
KINDS = {"recolour": _recolour, "move": _move, "remove": _remove, "add": _add, "swap": _swap}
