"""LatentCodec: published continuous codecs as the codec of a family."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_codecs import DEEP, KL, WAN

from unified_jax.codecs import network
from unified_jax.codecs.base import Codec
from unified_jax.codecs.network import LatentCodec
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models import script
from unified_jax.models.pictured import at_once
from unified_jax.models.pretrained import build_component, parameters
from unified_jax.models.transfusion import transfusion
from unified_jax.sampling.generate import generate

WIDE_KL = KL | dict(latent_channels=12, shift_factor=0.25)
# Wider than its smallest: norms of two channels magnify rounding without bound where both are near 0.
SHIFTED_WAN = WAN | dict(base_dim=8, latents_mean=[0.1, 0.2], latents_std=[0.5, 2.0])
SCALED_DEEP = DEEP | dict(scaling_factor=0.4)
# mean and standard deviation
SCALES = {
    "AutoencoderKL": (0.25, 2.0),
    "AutoencoderKLWan": ([0.1, 0.2], [0.5, 2.0]),
    "AutoencoderDC": (0.0, 2.5),
}


@pytest.fixture(scope="module", params=[WIDE_KL, SHIFTED_WAN, SCALED_DEEP], ids=lambda config: config["_class_name"])
def built(request):
    component = build_component(request.param)
    codec = LatentCodec(component.module)
    return request.param, component, codec, codec.init(jax.random.key(0))


def pictures(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, height, width, 3)).astype(np.float32)


def test_values_are_the_most_probable_latents_as_the_pipeline_scales_them(built):
    config, component, codec, params = built
    assert isinstance(codec, Codec)
    assert jax.tree.structure(params) == jax.tree.structure(component.shapes())
    pixels = pictures(3, 4, 8)
    values = codec.encode(params, pixels)
    pixels = jnp.asarray(pixels)
    assert values.shape == (3, *codec.grid(4, 8), *codec.shape) and values.dtype == np.float32
    mean, std = map(np.array, SCALES[config["_class_name"]])
    video = config is SHIFTED_WAN
    made = component.apply(params, pixels[:, None] if video else pixels, method="encode")
    latents = np.asarray(made if config is SCALED_DEEP else made.mean)
    latents = latents[:, 0] if video else latents
    np.testing.assert_allclose(values, (latents - mean) / std, atol=1e-4)
    latents = jnp.asarray(latents)
    drawn = np.asarray(component.apply(params, latents[:, None] if video else latents, method="decode"))
    np.testing.assert_allclose(codec.decode(params, values), drawn[:, 0] if video else drawn, atol=1e-4)


def test_with_a_key_values_are_drawn_from_the_posterior_every_turn_anew(built, monkeypatch):
    config, component, codec, params = built
    monkeypatch.setattr(network, "PIXELS_AT_ONCE", 4 * 8 * 256)
    pixels = np.repeat(pictures(1, 4, 8), 1024, 0)
    drawn, usual = codec.encode(params, pixels, rng=jax.random.key(1)), codec.encode(params, pixels[:1])
    if config is SCALED_DEEP:  # which has no posterior
        np.testing.assert_allclose(drawn, np.broadcast_to(usual, drawn.shape), atol=1e-5)
        return
    video = config is SHIFTED_WAN
    first = jnp.asarray(pixels[:1])
    posterior = component.apply(params, first[:, None] if video else first, method="encode")
    deviation = np.exp(np.asarray(posterior.logvar) / 2) / np.array(SCALES[config["_class_name"]][1])
    deviation = deviation[0, 0] if video else deviation[0]
    noise = (drawn - usual) / deviation
    np.testing.assert_allclose(noise.mean(0), 0.0, atol=5 / 32)
    np.testing.assert_allclose(noise.std(0), 1.0, atol=0.15)
    assert len(np.unique(noise[:, 0, 0, 0])) > 1000
    np.testing.assert_array_equal(
        codec.encode(params, pixels[:2], rng=jax.random.key(1)), codec.encode(params, pixels[:2], rng=jax.random.key(1))
    )


def test_what_is_no_whole_latents_or_has_no_weights_is_refused(built):
    _, _, codec, params = built
    for height, width in ((5, 8), (1, 1)):
        with pytest.raises(
            ValueError, match=f"image of {width}x{height} pixels: both sides must be positive multiples"
        ):
            codec.encode(params, pictures(1, height, width))
    with pytest.raises(ValueError, match="this codec has weights"):
        codec.encode({}, pictures(1, 4, 8))


def test_a_family_reads_and_draws_through_it():
    """Twelve channels at half the sides: what the family has otherwise are patches of 2 x 2 pixels."""
    tokenizer = Tokenizer.train(["a red circle"], vocab=280)
    model = transfusion(tokenizer, width=16, depth=1, num_heads=2, hidden=16, patch=2, image_size=(8, 8))
    codec = LatentCodec(build_component(WIDE_KL).module)
    write = partial(script.write, tokenizer=tokenizer, picture=partial(at_once, codec=codec, image_size=(8, 8)))
    model = model.clone(family=dataclasses.replace(model.family, codec=codec, write=write))
    params = parameters(model, jax.random.key(0))
    assert set(params["codec"]) == {"encoder", "decoder", "to_moments", "from_latents"}
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    document = generate(model, params, Document([Text("a"), Image(pixels), Text("b"), Image(target=True)]), steps=2)
    drawn = document[-1]
    key = jax.random.key(1)
    encode = lambda rng: model.family.encode([[Image(pixels), Image(pixels)]], params, rng=rng)[0]
    usual, (first, second), again = encode(None), encode(key), encode(key)
    np.testing.assert_array_equal(first.values, again[0].values)
    assert (first.values != second.values).any() and (first.values != usual[0].values).any()
    assert drawn.values.shape == (4, 4, 12)
    again = codec.decode(params["codec"], drawn.values[None])[0]
    np.testing.assert_allclose(drawn.pixels, np.clip((again + 1) * 127.5, 0, 255), atol=0.51)
