"""The shapes source: exact language, well-formed documents, a clean split, and a pure function of (seed, index)."""

import dataclasses
import hashlib
import pickle
from collections import Counter

import grain.python as grain
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_jax.data.document import Image, Text, check
from unified_jax.data.sources.shapes import (
    COLOURS,
    SHAPES,
    Scene,
    Shapes,
    Thing,
    World,
    caption,
    combinations,
    parse_caption,
    place_name,
    render,
)
from unified_jax.data.sources.shapes.edits import KINDS as EDIT_KINDS
from unified_jax.data.sources.shapes.questions import KINDS as QUESTION_KINDS

WIDE = World(shapes=SHAPES, colours=tuple(COLOURS))
WORLDS = (World(), WIDE, World(rows=2, cols=3, resolution=48), World(rows=5, cols=4, resolution=64))
EVERY_TASK = {f"{task}/{count}": 1 for task in ("draw", "caption", "question", "edit") for count in (1, 2, 3, 4)}


@st.composite
def worlds_and_scenes(draw):
    world = draw(st.sampled_from(WORLDS))
    places = draw(st.lists(st.sampled_from(world.places), min_size=1, max_size=4, unique=True))
    words = (world.shapes, world.colours, world.sizes)
    return world, Scene([Thing(*(draw(st.sampled_from(names)) for names in words), place) for place in places])


@given(worlds_and_scenes())
def test_a_caption_parses_back_to_its_scene(case):
    world, scene = case
    assert parse_caption(caption(scene, world), world) == scene


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a red circle",
        "a small red circle",
        "a small red blob at the top",
        "a small pink circle at the top",
        "a small red circle at the top and",
        "a small red circle at the top and a large blue square at the top",
    ],
)
def test_anything_else_is_not_a_caption(text):
    assert parse_caption(text, World()) is None


def test_the_order_of_the_things_does_not_matter():
    first, second = Thing("circle", "red", "small", (0, 0)), Thing("square", "blue", "large", (1, 1))
    swapped = "a large blue square in the centre and a small red circle at the top left"
    assert parse_caption(swapped, World()) == Scene([second, first]) == Scene([first, second])


def test_every_place_has_its_own_name():
    for world in WORLDS:
        assert len({place_name(place, world) for place in world.places}) == len(world.places)


@pytest.mark.parametrize("world", WORLDS)
def test_pictures_differ_exactly_when_scenes_do(world):
    scenes = [Scene([thing]) for thing in combinations(world, "train").things]
    assert len({render(scene, world).tobytes() for scene in scenes}) == len(scenes)
    picture = render(scenes[0], world)
    assert picture.dtype == np.uint8 and picture.shape == (world.resolution, world.resolution, 3)
    assert (picture.reshape(-1, 3) == world.background).all(-1).mean() > 0.5


def test_a_thing_stands_at_the_centre_of_its_cell():
    for resolution in (32, 37, 64):
        world = World(resolution=resolution)
        for place in world.places:
            ink = np.abs(
                render(Scene([Thing("circle", "red", "large", place)]), world).astype(float) - world.background
            )
            weight = ink.sum(-1) / ink.sum()
            pixels = np.arange(resolution) + 0.5
            centre = np.array([weight.sum(1) @ pixels, weight.sum(0) @ pixels])
            np.testing.assert_allclose(centre, (np.array(place) + 0.5) * resolution / 3, atol=0.02)


def layout(document):
    return [type(part) for part in document], [part.target for part in document]


LAYOUTS = {
    "caption": ([Image, Text], [False, True]),
    "draw": ([Text, Image], [False, True]),
    "question": ([Image, Text, Text], [False, False, True]),
    "edit": ([Image, Text, Image], [False, False, True]),
}


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("split", ["train", "held_out"])
def test_documents_are_well_formed_and_keep_to_their_split(world, split):
    source = Shapes(world, split=split, tasks=EVERY_TASK)
    other = combinations(world, "held_out" if split == "train" else "train")
    seen = Counter()
    for index in range(400):
        document = check(source[index])
        info = document.info
        seen[info["task"], info["count"]] += 1
        assert layout(document) == LAYOUTS[info["task"]]
        shown = [info["scene"], *([info["before"]] if "before" in info else [])]
        assert all(len(scene) and not any(thing in other for thing in scene) for scene in shown)
        assert len(shown[-1]) == info["count"]
        pictures = [part.pixels for part in document if isinstance(part, Image)]
        for scene, picture in zip(reversed(shown), pictures):
            np.testing.assert_array_equal(picture, render(scene, world))
        assert info["task"] not in ("draw", "caption") or caption(info["scene"], world) in [
            part.text for part in document if isinstance(part, Text)
        ]
    assert len(seen) == len(EVERY_TASK)


def test_every_kind_of_question_and_edit_occurs():
    source = Shapes(tasks={"question/2": 1, "edit/2": 1})
    kinds = Counter(source[index].info["kind"] for index in range(600))
    assert set(kinds) == set(QUESTION_KINDS) | set(EDIT_KINDS)
    assert min(kinds.values()) > 15


def test_answers_are_true_and_balanced():
    source = Shapes(tasks={f"question/{count}": 1 for count in (1, 2, 3, 4)})
    answers = {kind: Counter() for kind in QUESTION_KINDS}
    for index in range(1500):
        document = source[index]
        text, answer, scene = document[1].text, document[2].text, document.info["scene"]
        answers[document.info["kind"]][answer] += 1
        if document.info["kind"] in ("colour", "shape", "size"):
            meant = [thing for thing in scene if called(thing, text)]
            assert {getattr(thing, document.info["kind"]) for thing in meant} == {answer}, (text, scene)
        if document.info["kind"] == "presence":
            colour, shape = text.rstrip("?").split()[-2:]
            assert answer == ("yes" if any((t.colour, t.shape) == (colour, shape) for t in scene) else "no")
    for kind in ("presence", "relation"):
        assert 0.35 < answers[kind]["yes"] / answers[kind].total() < 0.65
    assert set(answers["count"]) >= {"0", "1", "2", "3", "4"}


def called(thing, text):
    """Whether every word of a question fits ``thing``: an independent reading of what the question refers to."""
    phrase = text.rstrip("?").split(" is the ", 1)[1]
    noun, _, rest = phrase.partition(" thing")
    if " thing" in f" {phrase}" and rest.startswith((" at", " in", " on")):
        return (
            rest.removeprefix(" at").removeprefix(" in").removeprefix(" on")
            == f" the {place_name(thing.place, World())}"
        )
    if phrase.startswith("thing "):
        return phrase.split(" the ", 1)[1] == place_name(thing.place, World())
    words = set(noun.split()) - {"thing"}
    return words <= {thing.shape, thing.colour, thing.size}


def test_an_edit_changes_what_it_says():
    source = Shapes(tasks={f"edit/{count}": 1 for count in (1, 2, 3)})
    change = {"recolour": 0, "move": 0, "swap": 0, "add": 1, "remove": -1}
    for index in range(500):
        info = source[index].info
        before, after = set(info["before"]), set(info["scene"])
        assert before != after
        assert len(after) - len(before) == change[info["kind"]]
        assert len(before - after) == {"swap": 2, "add": 0}.get(info["kind"], 1)


def test_the_split_is_a_fifth_and_hides_no_word():
    train, held_out = combinations(World(), "train"), combinations(World(), "held_out")
    assert (len(train), len(held_out)) == (346, 86)
    assert not set(train.things) & set(held_out.things)
    for world in WORLDS:
        train, held_out = combinations(world, "train"), combinations(world, "held_out")
        for field in dataclasses.fields(Thing):
            shown = Counter(getattr(thing, field.name) for thing in train.things)
            hidden = Counter(getattr(thing, field.name) for thing in held_out.things)
            shares = [hidden[value] / (shown[value] + hidden[value]) for value in shown]
            assert 0.1 < min(shares) and max(shares) < 0.3


def test_the_split_is_stable():
    # A change here makes every published score incomparable.
    held_out = combinations(World(), "held_out")
    assert held_out == combinations(World(resolution=64), "held_out")
    digest = hashlib.sha256(repr([dataclasses.astuple(thing) for thing in held_out.things]).encode()).hexdigest()
    assert digest[:16] == "1e325489d1ce721b"


def same(first, second):
    return first.info == second.info and all(
        a.text == b.text if isinstance(a, Text) else np.array_equal(a.pixels, b.pixels) for a, b in zip(first, second)
    )


def test_a_document_depends_on_seed_and_index_only():
    source = Shapes(tasks=EVERY_TASK)
    copy = pickle.loads(pickle.dumps(source))
    backwards = [copy[index] for index in reversed(range(30))]
    assert all(same(source[index], document) for index, document in zip(reversed(range(30)), backwards))
    assert sum(same(source[index], source[index + 1]) for index in range(30)) == 0
    assert sum(same(source[index], dataclasses.replace(source, seed=1)[index]) for index in range(30)) == 0


def test_task_weights_are_kept():
    source = Shapes(tasks={"draw/1": 3, "caption/2": 1, "edit/1": 0})
    counts = Counter(source[index].info["task"] for index in range(1000))
    assert counts["edit"] == 0 and 0.7 < counts["draw"] / 1000 < 0.8


def test_grain_reads_the_source():
    dataset = grain.MapDataset.source(Shapes(length=100)).shuffle(seed=0)
    assert len(dataset) == 100 and len(dataset[3]) in (2, 3)
    with pytest.raises(IndexError, match="outside"):
        Shapes(length=100)[100]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: World(shapes=("blob",)), "unknown shapes 'blob'; known: circle, square"),
        (lambda: World(colours=("mauve",)), "unknown colours 'mauve'; known: red, green"),
        (lambda: World(sizes=()), "sizes must be one or more different names"),
        (lambda: World(resolution=16), "16 px is too small for a 3x3 grid: use 24 or more"),
        (lambda: World(rows=0), "at least one row"),
        (lambda: World(background=(250, 210, 30)), "yellow .* is too close to the background"),
        (lambda: Shapes(tasks={"paint/1": 1}), "unknown task 'paint/1'; use draw/N, caption/N, question/N, edit/N"),
        (lambda: Shapes(tasks={"draw": 1}), "unknown task 'draw'"),
        (lambda: Shapes(World(rows=1, cols=2), tasks={"draw/3": 1}), "holds 1 to 2 things"),
        (lambda: Shapes(tasks={"draw/1": 0}), "positive sum"),
        (lambda: Shapes(split="test"), "unknown split 'test'; known: train, held_out"),
        (lambda: Scene([Thing("circle", "red", "small", (0, 0)), Thing("ring", "red", "small", (0, 0))]), "holds one"),
        (
            lambda: Shapes(World(shapes=("ring",), colours=("red",), rows=1, cols=1), tasks={"edit/1": 1})[0],
            "no edit of 1 things is possible",
        ),
    ],
)
def test_impossible_requests_say_why(make, message):
    with pytest.raises(ValueError, match=message):
        make()
