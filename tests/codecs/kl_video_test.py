"""Codecs of video: chunks and tiles against the whole, memory, gradients, and what is refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.codecs.kl_video import decode_in_chunks, encode_in_chunks
from unified_jax.codecs.tiles import in_tiles
from unified_jax.models.pretrained import build_component

SIZES = dict(
    _class_name="AutoencoderKLWan",
    base_dim=4,
    dim_mult=[1, 2, 2],
    num_res_blocks=1,
    temperal_downsample=[True, True],
    z_dim=3,
    latents_mean=[0.1, 0.2, 0.3],
    latents_std=[1.0, 2.0, 3.0],
)
BRIDGED = dict(is_residual=True, patch_size=2, in_channels=12, out_channels=12)
WHOLE = 1e-5  # of the largest value: what chunks of time may differ from the whole by
SEAMS = 0.25  # of the root mean square: what tiles may, here 0.13 and 0.20, of noise by random networks


@pytest.fixture(scope="module", params=[{}, BRIDGED], ids=["plain", "bridged"])
def codec(request):
    """A module and random parameters that keep the size of what they are given."""
    component, rng = build_component(SIZES | request.param), np.random.default_rng(0)

    def draw(path, x):
        noise = rng.normal(size=x.shape)
        if x.ndim > 1:
            return jnp.asarray(noise / np.sqrt(x.size / x.shape[-1]), jnp.float32)
        return jnp.asarray(0.1 * noise + (path[-1].key == "scale"), jnp.float32)

    return component.module, jax.tree_util.tree_map_with_path(draw, component.shapes())


def video(module, frames: int, *, rows: int = 2, columns: int = 3) -> jax.Array:
    shape = (2, frames, rows * module.factor, columns * module.factor, 3)
    return jnp.asarray(np.random.default_rng(0).uniform(-1, 1, shape), jnp.float32)


def call(module, params, x, method):
    return jax.jit(lambda params, x: module.apply({"params": params}, x, method=method))(params, x)


def assert_close(got, want, tolerance):
    assert got.shape == want.shape
    assert float(jnp.abs(got - want).max() / jnp.abs(want).max()) <= tolerance


@pytest.mark.parametrize("latents", [1, 2])
def test_chunks_of_time_give_what_the_whole_gives(codec, latents):
    module, params = codec
    pixels = video(module, 1 + 4 * module.frames)
    whole = call(module, params, pixels, "encode")
    made = jax.jit(partial(encode_in_chunks, module, latents=latents))(params, pixels)
    assert_close(made.mean, whole.mean, WHOLE)
    assert_close(made.logvar, whole.logvar, WHOLE)
    decoded = jax.jit(partial(decode_in_chunks, module, latents=latents))(params, whole.mean)
    assert_close(decoded, call(module, params, whole.mean, "decode"), WHOLE)


@pytest.mark.parametrize("method,in_chunks", [("encode", encode_in_chunks), ("decode", decode_in_chunks)])
def test_memory_does_not_grow_with_the_frames(method, in_chunks):
    component = build_component(SIZES | dict(base_dim=32))
    module, frame = component.module, 32 * 32 * 3 * 4

    def growth(run) -> float:
        """Bytes of scratch for one more frame of pixels, in units of the frame's own."""
        shapes = {n: {"encode": (1, 1 + 4 * n, 32, 32, 3), "decode": (1, 1 + n, 8, 8, 3)}[method] for n in (2, 10)}
        programs = [
            jax.jit(run).lower(component.shapes(), jax.ShapeDtypeStruct(x, jnp.float32)) for x in shapes.values()
        ]
        short, long = (program.compile().memory_analysis().temp_size_in_bytes for program in programs)
        return (long - short) / (8 * module.frames * frame)

    whole = growth(lambda params, x: module.apply({"params": params}, x, method=method))
    assert growth(partial(in_chunks, module)) < 3 < whole  # a copy or two of what goes in or comes out, in order


def test_tiles_of_space_differ_from_the_whole_by_little(codec):
    module, params = codec
    pixels = video(module, 1 + module.frames, rows=12, columns=8)
    whole = call(module, params, pixels, "encode").mean
    encode = lambda x: module.apply({"params": params}, x, method="encode")
    tiled = jax.jit(lambda x: in_tiles(encode, x, tile=8 * module.factor, overlap=4 * module.factor))(pixels)
    assert tiled.mean.shape == whole.shape
    decode = lambda z: module.apply({"params": params}, z, method="decode")
    seamed = jax.jit(lambda z: in_tiles(decode, z, tile=8, overlap=4))(whole)
    drawn = call(module, params, whole, "decode")
    found = rms(tiled.mean - whole) / rms(whole), rms(seamed - drawn) / rms(drawn)
    assert max(found) < SEAMS


def test_tiles_and_chunks_go_together(codec):
    module, params = codec
    pixels = video(module, 1 + module.frames, rows=4, columns=4)
    layout = dict(tile=2 * module.factor, overlap=module.factor)
    encode = lambda x: module.apply({"params": params}, x, method="encode")
    both = jax.jit(lambda x: in_tiles(partial(encode_in_chunks, module, params), x, **layout))(pixels)
    assert_close(both.mean, jax.jit(lambda x: in_tiles(encode, x, **layout))(pixels).mean, WHOLE)


def test_every_parameter_has_a_gradient(codec):
    module, params = codec
    pixels = 0.1 * video(module, 1 + module.frames, rows=2, columns=1)

    def loss(params):
        posterior = module.apply({"params": params}, pixels, method="encode")
        decoded = module.apply({"params": params}, 0.1 * posterior.sample(jax.random.key(0)), method="decode")
        return jnp.square(decoded - pixels).mean() + 1e-3 * posterior.kl().mean()

    grads = jax.jit(jax.grad(loss))(params)
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        if name.endswith("['k']['bias']"):
            continue  # it moves all scores of a query alike
        assert np.isfinite(grad).all() and np.abs(grad).max() > 0, name


def test_latents_are_standardised_as_the_config_says(codec):
    module, _ = codec
    latents = jnp.array([[0.1, 0.2, 0.3], [1.1, 2.2, 3.3]])
    np.testing.assert_allclose(module.scale.standardise(latents), [[0, 0, 0], [1, 1, 1]], atol=1e-6)


@pytest.mark.parametrize("frames", [4, 6])
def test_frames_that_are_no_whole_latents_are_refused(codec, frames):
    module, params = codec
    with pytest.raises(ValueError, match=rf"1 \+ {frames - 1} frames.*multiple of 4"):
        module.apply({"params": params}, video(module, frames), method="encode")
    with pytest.raises(ValueError, match=r"multiple of 8"):
        encode_in_chunks(module, params, video(module, 5), latents=2)


def test_sides_that_are_no_whole_latents_are_refused(codec):
    module, params = codec
    with pytest.raises(ValueError, match="both sides must be positive multiples of"):
        module.apply({"params": params}, video(module, 1)[:, :, 1:], method="encode")


def test_attention_at_other_places_is_refused():
    with pytest.raises(ValueError, match=r"attn_scales \[0.5\]; known is \[\]"):
        build_component(SIZES | {"attn_scales": [0.5]})


def rms(x: jax.Array) -> float:
    return float(jnp.sqrt(jnp.square(x).mean()))
