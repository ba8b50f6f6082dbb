"""MergedVision: pictures of any sizes in one row, each as its encoder and merger show it alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.codecs.grouped import Grouped
from unified_jax.codecs.patch import Patches
from unified_jax.core.sequence import Payload
from unified_jax.models.encoders.qwen2_5_vl import qwen2_5_vl_vision
from unified_jax.models.published import Config
from unified_jax.nn.connectors.pooling import PixelShuffle
from unified_jax.nn.connectors.projection import Projection
from unified_jax.nn.merged_vision import MergedVision
from unified_jax.nn.packed_vision import picture_numbers

PATCH, SIDE, WIDTH = 2, 2, 6
SHAPES = [(3, 1), (2, 3)]  # in squares
SLOTS = [1, 2, 3, 5, 6, 7, 8, 9, 10]  # the second ends the lane, whose capacity is 11
PADDING = 3
CONFIG = Config(
    depth=2,
    hidden_size=16,
    intermediate_size=8,
    num_heads=2,
    patch_size=PATCH,
    window_size=PATCH * SIDE * 2,
    fullatt_block_indexes=[1],
)


@pytest.fixture(scope="module")
def vision() -> MergedVision:
    merger = PixelShuffle(SIDE, then=Projection(WIDTH))
    return MergedVision(qwen2_5_vl_vision(CONFIG, dtype="float32").module, merger, WIDTH, SIDE)


@pytest.fixture(scope="module")
def pixels() -> list[np.ndarray]:
    rng, square = np.random.default_rng(0), PATCH * SIDE
    return [rng.normal(size=(1, r * square, c * square, 3)).astype(np.float32) for r, c in SHAPES]


@pytest.fixture(scope="module")
def row(pixels) -> tuple[Payload, jax.Array]:
    """Both pictures in one row, and what the model tells of an entry's place: padding has that of the last slot."""
    squares = Grouped(Patches(PATCH), SIDE)
    values = np.concatenate([np.asarray(squares.encode({}, x)).reshape(-1, *squares.shape) for x in pixels])
    values = jnp.pad(values, ((0, PADDING), (0, 0)))[None]
    place = np.concatenate([np.indices(shape).reshape(2, -1).T for shape in SHAPES])
    place = np.concatenate([place, np.repeat(place[-1:], PADDING, 0)])
    slot = jnp.asarray([*SLOTS, *[max(SLOTS) + 1] * PADDING], jnp.int32)[None]
    pos = jnp.asarray(np.concatenate([np.zeros((len(place), 1)), place], 1), jnp.int32)[None]
    zeros = jnp.zeros_like(slot)
    return Payload(values, slot, read=zeros, unit=zeros, time=zeros * 1.0, weight=zeros * 1.0), pos


def test_every_picture_of_a_row_is_what_its_encoder_shows_of_it_alone(vision, pixels, row):
    params = jax.jit(vision.init)(jax.random.key(0), *row)["params"]
    got = np.asarray(jax.jit(vision.apply)({"params": params}, *row))[0]

    @partial(jax.jit, static_argnames="grid")
    def seen(pixels, *, grid):
        states = vision.encoder.apply({"params": params["encoder"]}, pixels).states
        return vision.connector.apply({"params": params["connector"]}, states, grid=grid)[0]

    alone = [seen(x, grid=(rows * SIDE, columns * SIDE)) for x, (rows, columns) in zip(pixels, SHAPES)]
    np.testing.assert_allclose(got[: len(SLOTS)], np.concatenate(alone), atol=1e-5)


def test_padding_is_no_part_of_a_picture_that_ends_the_row(row):
    payload, pos = row
    numbers = np.asarray(picture_numbers(payload.slot, pos[..., 1:]))[0]
    np.testing.assert_array_equal(numbers, [1] * 3 + [2] * 6 + [3, 4, 5])
