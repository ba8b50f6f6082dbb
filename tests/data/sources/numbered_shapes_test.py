"""Scenes by number: every scene of one thing has its own, and nothing is left of the words."""

import itertools

import pytest

from unified_jax.data.document import Image, Text
from unified_jax.data.sources.shapes import Scene, Shapes, Thing, World
from unified_jax.data.sources.shapes.numbered import Numbered, count, number_of


def test_numbers_are_those_of_all_scenes():
    world = World()
    values = itertools.product(world.shapes, world.colours, world.sizes, world.places)
    numbers = [number_of(Scene([Thing(*one)]), world) for one in values]
    assert numbers == list(range(count(world))) and count(world) == 432


def test_a_drawing_is_asked_for_by_its_number():
    source = Shapes(tasks={"draw/1": 1}, length=20)
    asked = Numbered(source)
    assert len(asked) == 20
    for before, after in zip(source, asked, strict=True):
        number, picture = after
        assert isinstance(number, Text) and number.text == str(number_of(after.info["scene"], source.world))
        assert isinstance(picture, Image) and picture.target and (picture.pixels == before[1].pixels).all()


def test_several_things_have_no_number():
    with pytest.raises(ValueError):
        number_of(Shapes(tasks={"draw/2": 1})[0].info["scene"], World())
