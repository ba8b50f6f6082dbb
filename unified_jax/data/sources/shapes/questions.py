"""Questions about a scene with one right answer, each about things that the words used single out."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from unified_jax.data.sources.shapes.language import place_name, references
from unified_jax.data.sources.shapes.scene import Scene, Thing, World

RELATIONS = {
    "left of": lambda a, b: a.place[1] < b.place[1],
    "right of": lambda a, b: a.place[1] > b.place[1],
    "above": lambda a, b: a.place[0] < b.place[0],
    "below": lambda a, b: a.place[0] > b.place[0],
}


@dataclasses.dataclass(frozen=True)
class Question:
    """A question, its short answer, and which of ``KINDS`` it is."""

    kind: str
    text: str
    answer: str


def question(scene: Scene, world: World, rng: np.random.Generator, *, often: Mapping[str, float] = {}) -> Question:
    """A question that ``scene`` answers without doubt, of a kind that the scene allows.

    often: how often a kind is drawn, against 1 for those it does not name.
    """
    kinds = list(KINDS)
    while True:  # ends: counting is always possible
        weights = np.array([often.get(kind, 1.0) for kind in kinds])
        kind = kinds.pop(rng.choice(len(kinds), p=weights / weights.sum()))
        asked = KINDS[kind](scene, world, rng)
        if asked is not None:
            return Question(kind, *asked)


def pick(options, rng: np.random.Generator):
    """One of ``options``, uniformly."""
    return options[rng.integers(len(options))]


def _attribute(name: str):
    def ask(scene: Scene, world: World, rng: np.random.Generator) -> tuple[str, str]:
        thing = pick(scene.things, rng)
        phrase = pick(references(thing, scene, world, without=(name,)), rng)
        return f"what {name} is {phrase}?", getattr(thing, name)

    return ask


def _position(scene: Scene, world: World, rng: np.random.Generator) -> tuple[str, str] | None:
    thing = pick(scene.things, rng)
    phrases = references(thing, scene, world, without=("place",))
    if not phrases:
        return None
    return f"where is {pick(phrases, rng)}?", place_name(thing.place, world)


def _count(scene: Scene, world: World, rng: np.random.Generator) -> tuple[str, str]:
    # Half of the questions ask for a word of the scene, so that the answer is not mostly 0.
    seen = pick(scene.things, rng) if rng.random() < 0.5 else None
    shape = seen.shape if seen else pick(world.shapes, rng)
    colour = seen.colour if seen else pick(world.colours, rng)
    subjects = (
        ("things", len(scene)),
        (_plural(shape), sum(thing.shape == shape for thing in scene)),
        (f"{colour} things", sum(thing.colour == colour for thing in scene)),
    )
    subject, number = pick(subjects, rng)
    return f"how many {subject}?", str(number)


def _plural(noun: str) -> str:
    return f"{noun}es" if noun.endswith("s") else f"{noun}s"


def _presence(scene: Scene, world: World, rng: np.random.Generator) -> tuple[str, str] | None:
    thing = pick(scene.things, rng)
    if rng.random() < 0.5:
        return f"is there a{_n(thing.colour)} {thing.colour} {thing.shape}?", "yes"
    absent = _near_misses(thing, scene, world)
    if not absent:
        return None
    colour, shape = pick(absent, rng)
    return f"is there a{_n(colour)} {colour} {shape}?", "no"


def _near_misses(thing: Thing, scene: Scene, world: World) -> list[tuple[str, str]]:
    present = {(other.colour, other.shape) for other in scene}
    recoloured = [(colour, thing.shape) for colour in world.colours]
    reshaped = [(thing.colour, shape) for shape in world.shapes]
    return [pair for pair in recoloured + reshaped if pair not in present]


def _n(word: str) -> str:
    return "n" if word[0] in "aeiou" else ""


def _relation(scene: Scene, world: World, rng: np.random.Generator) -> tuple[str, str] | None:
    # Not called by place: the words alone would give the answer.
    called = [(thing, references(thing, scene, world, without=("place",))) for thing in scene]
    called = [(thing, phrases) for thing, phrases in called if phrases]
    if len(called) < 2:
        return None
    first, second = rng.permutation(len(called))[:2]
    (a, phrases_a), (b, phrases_b) = called[first], called[second]
    wanted = bool(rng.random() < 0.5)
    relation = pick([name for name, holds in RELATIONS.items() if holds(a, b) == wanted], rng)
    return f"is {pick(phrases_a, rng)} {relation} {pick(phrases_b, rng)}?", "yes" if wanted else "no"


# Each returns (text, answer), or None when the scene does not allow the kind.
KINDS = {
    "colour": _attribute("colour"),
    "shape": _attribute("shape"),
    "size": _attribute("size"),
    "position": _position,
    "count": _count,
    "presence": _presence,
    "relation": _relation,
}
