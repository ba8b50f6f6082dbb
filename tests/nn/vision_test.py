"""Vision: entries of a packed row are whole pictures, each as its encoder and connector show it alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.codecs.patch import Patches
from unified_jax.core.sequence import Payload
from unified_jax.models.encoders import transformer
from unified_jax.models.published import Config
from unified_jax.nn.connectors.projection import Projection
from unified_jax.nn.encoder import Encoder
from unified_jax.nn.picture_embed import PictureEmbed
from unified_jax.nn.resample import cubic
from unified_jax.nn.vision import Vision

GRID, PATCH, WIDTH = (2, 3), 2, 12
CONFIG = Config(
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=2,
    num_attention_heads=2,
    hidden_act="gelu",
    layer_norm_eps=1e-6,
)


@pytest.fixture(scope="module")
def vision():
    embed = PictureEmbed(8, patch=PATCH, grid=GRID, weights=cubic, class_tokens=1)
    encoder = Encoder(embed, transformer.stack(CONFIG, dtype="float32"), norm=None, pool=None)
    return Vision(encoder, Projection(WIDTH, (WIDTH,)), WIDTH, GRID, layer=-2, leading=1)


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).normal(size=(2, GRID[0] * PATCH, GRID[1] * PATCH, 3)).astype(np.float32)


def row(values: np.ndarray, spare: int) -> Payload:
    """One row of entries, with some that are padding."""
    values = jnp.pad(jnp.asarray(values), ((0, spare), (0, 0)))[None]
    zeros = jnp.zeros(values.shape[:2], jnp.int32)
    return Payload(values, slot=zeros, read=zeros, unit=zeros, time=zeros * 1.0, weight=zeros * 1.0)


def test_every_picture_of_a_row_is_what_its_encoder_shows_of_it_alone(vision, pixels):
    values = Patches(PATCH).encode({}, pixels).reshape(-1, 3 * PATCH**2)
    payload, pos = row(values, spare=4), jnp.zeros((1, len(values) + 4, 3), jnp.int32)
    params = vision.init(jax.random.key(0), payload, pos)["params"]
    got = vision.apply({"params": params}, payload, pos)
    states = vision.encoder.apply({"params": params["encoder"]}, pixels, layer=-2, method="features")[:, 1:]
    want = vision.connector.apply({"params": params["connector"]}, states, grid=GRID)
    np.testing.assert_allclose(got[0, : len(values)].reshape(want.shape), want, atol=1e-5)
    assert not got[0, len(values) :].any()


def test_a_row_too_short_for_a_picture_runs_no_encoder(vision):
    short = row(np.zeros((5, 3 * PATCH**2), np.float32), spare=0)
    assert vision.apply({"params": {}}, short, jnp.zeros((1, 5, 3), jnp.int32)).shape == (1, 5, WIDTH)
