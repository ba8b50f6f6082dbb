"""The shapes grader reads every clean picture, stays right under its stated degradations, and accepts no less."""

import dataclasses
import io
import time

import numpy as np
import PIL.Image
import pytest

from unified_jax.data.sources.shapes import COLOURS, SHAPES, Scene, Thing, World, combinations, render
from unified_jax.evals.graders.shapes import BLUR, JPEG, NOISE, grade, read, read_batch

ALL = {"shapes": SHAPES, "colours": tuple(COLOURS)}
WORLDS = {
    "default 32": World(),
    "default 37": World(resolution=37),
    "default 64": World(resolution=64),
    "all 32": World(**ALL),
    "all 48": World(resolution=48, **ALL),
    "all 128": World(resolution=128, **ALL),
    "all 5x4": World(rows=5, cols=4, resolution=67, **ALL),
    "dark": World(background=(90, 90, 100), colours=("red", "yellow", "cyan"), resolution=40),
}


def everything(world):
    return combinations(world, "train").things + combinations(world, "held_out").things


def some_things(world, count):
    things = everything(world)
    return [things[i] for i in np.random.default_rng(0).permutation(len(things))[:count]]


def some_scenes(world, count):
    rng, allowed = np.random.default_rng(1), combinations(world, "train")
    return [Scene([thing]) for thing in some_things(world, count)] + [
        allowed.scene(size, rng) for size in (2, 3, 4) for _ in range(count // 3)
    ]


def accuracy(scenes, pictures, world):
    return np.mean([reading.scene == scene for reading, scene in zip(read_batch(np.stack(pictures), world), scenes)])


def to_uint8(pixels):
    return np.clip(np.round(pixels), 0, 255).astype(np.uint8)


def blur(picture, fraction):
    sigma = fraction * len(picture)
    reach = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    out = np.pad(picture.astype(float), ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    for axis in (0, 1):
        out = np.lib.stride_tricks.sliding_window_view(out, len(kernel), axis) @ kernel
    return to_uint8(out)


def noise(picture, sigma):
    rng = np.random.default_rng(int(picture.sum()))
    return to_uint8(picture + rng.normal(0, sigma, picture.shape))


def jpeg(picture, quality):
    file = io.BytesIO()
    PIL.Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0)
    return np.asarray(PIL.Image.open(file))


@pytest.mark.parametrize("resolution", [32, 37, 64])
def test_every_single_thing_of_the_default_world_is_read(resolution):
    world = World(resolution=resolution)
    scenes = [Scene([thing]) for thing in everything(world)]
    assert len(scenes) == 432
    assert accuracy(scenes, [render(scene, world) for scene in scenes], world) == 1


@pytest.mark.parametrize("name", WORLDS)
def test_clean_pictures_are_read(name):
    world = WORLDS[name]
    scenes = some_scenes(world, 60)
    assert accuracy(scenes, [render(scene, world) for scene in scenes], world) == 1


@pytest.mark.parametrize("degrade", [(blur, BLUR), (noise, NOISE), (jpeg, JPEG)], ids=["blur", "noise", "jpeg"])
@pytest.mark.parametrize("name", ["default 32", "default 37", "default 64", "all 32", "all 128"])
def test_degraded_pictures_are_read(name, degrade):
    world, (spoil, level) = WORLDS[name], degrade
    if name.startswith("all") and spoil is not jpeg:
        level = level * 2 / 3
    scenes = some_scenes(world, 30 if world.resolution > 64 else 150)
    assert accuracy(scenes, [spoil(render(scene, world), level) for scene in scenes], world) >= 0.99


def fade(thing, world):
    return 0.5 * render(Scene([thing]), world) + 0.5 * np.array(world.background)


def smear(thing, world):
    return blur(render(Scene([thing]), world), 0.06)


def beside_itself(thing, world):
    return np.roll(render(Scene([thing]), world), world.resolution // 16, axis=1)


def half_elsewhere(thing, world):
    place = world.places[world.places.index(thing.place) - 1]
    moved = dataclasses.replace(thing, place=place)
    return 0.5 * render(Scene([thing]), world) + 0.5 * render(Scene([moved]), world)


def between_sizes(thing, world):
    # Nearest-neighbour from a picture 4 times finer, scaled to the geometric middle of the two sizes.
    fine = render(Scene([thing]), World(resolution=4 * world.resolution))
    scale = {"small": 0.78, "large": 1.28}[thing.size]
    centre = (np.array(thing.place) + 0.5) * len(fine) / world.rows
    index = [((np.arange(len(fine)) - c) * scale + c).round().astype(int).clip(0, len(fine) - 1) for c in centre]
    scaled = fine[np.ix_(*index)].reshape(world.resolution, 4, world.resolution, 4, 3).mean((1, 3))
    return scaled


def small_on_large(thing, world):
    other = world.colours[world.colours.index(thing.colour) - 1]
    large = render(Scene([dataclasses.replace(thing, size="large", colour=other)]), world).astype(float)
    cover = render(Scene([dataclasses.replace(thing, size="small")]), world)
    return np.where((cover != world.background).any(-1, keepdims=True), cover, large)


def stray_square(thing, world):
    picture = render(Scene([thing]), world)
    row, col = (int((index + 0.1) * world.resolution / 3) for index in thing.place)
    picture[row : row + 4, col : col + 4] = COLOURS[world.colours[world.colours.index(thing.colour) - 1]]
    return picture


REJECTED = (fade, smear, beside_itself, half_elsewhere, between_sizes, small_on_large, stray_square)


@pytest.mark.parametrize("make", REJECTED)
@pytest.mark.parametrize("resolution", [32, 64])
def test_spoiled_pictures_are_not_read(make, resolution):
    world = World(resolution=resolution)
    readings = read_batch(np.stack([to_uint8(make(thing, world)) for thing in some_things(world, 60)]), world)
    assert [reading.scene for reading in readings if reading.scene] == []


def test_a_blend_of_two_different_things_is_not_read():
    world, rng = World(), np.random.default_rng(0)
    things, pictures = everything(world), []
    while len(pictures) < 300:
        first, second = (things[i] for i in rng.integers(len(things), size=2))
        second = dataclasses.replace(second, place=first.place)
        if first.colour != second.colour and (first.shape, first.size) != (second.shape, second.size):
            blended = sum(render(Scene([thing]), world).astype(float) for thing in (first, second)) / 2
            pictures.append(to_uint8(blended))
    # Red and yellow make orange: a circle and a square of one size in those may pass for one orange thing.
    assert np.mean([reading.scene is None for reading in read_batch(np.stack(pictures), world)]) >= 0.98


def test_blank_and_random_pictures_are_not_read():
    world, rng = World(), np.random.default_rng(0)
    blank = np.full((32, 32, 3), world.background, np.uint8)
    assert read(blank, world).reason == "nothing to be seen"
    static = rng.integers(0, 256, (50, 32, 32, 3), np.uint8)
    flat = np.broadcast_to(rng.integers(0, 256, (50, 1, 1, 3), np.uint8), (50, 32, 32, 3))
    assert not any(reading.scene for reading in read_batch(np.concatenate([static, flat]), world))


def test_the_reason_names_the_place_and_the_fault():
    world = World()
    reading = read(to_uint8(fade(Thing("circle", "blue", "large", (0, 2)), world)), world)
    assert reading.scene is None and reading.reason.startswith("top right: not quite") and reading.residual > 0


def test_grade_wants_the_very_scene():
    world, thing = World(), Thing("circle", "blue", "large", (0, 2))
    picture = render(Scene([thing]), world)
    assert grade(Scene([thing]), picture, world)
    for change in ({"shape": "square"}, {"colour": "red"}, {"size": "small"}, {"place": (0, 1)}):
        assert not grade(Scene([dataclasses.replace(thing, **change)]), picture, world)
    more = Scene([thing, Thing("cross", "red", "small", (2, 2))])
    assert not grade(more, picture, world) and not grade(Scene([thing]), render(more, world), world)


@pytest.mark.parametrize(
    "pixels", [np.zeros((16, 16, 3), np.uint8), np.zeros((32, 32, 3)), np.zeros((32, 32), np.uint8)]
)
def test_pictures_of_another_kind_are_refused(pixels):
    with pytest.raises(ValueError, match=r"uint8 \[32 32 3\], got"):
        read(pixels, World())


def test_reading_is_fast():
    world = World()
    picture = render(Scene([Thing("circle", "blue", "large", (0, 2))]), world)
    read(picture, world)
    start = time.perf_counter()
    for _ in range(20):
        read(picture, world)
    assert (time.perf_counter() - start) / 20 < 0.02  # about 1 ms on an idle core; the margin is for a busy one
