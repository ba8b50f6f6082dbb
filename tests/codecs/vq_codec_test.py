"""The vector-quantised codec: shapes and ranges, its gradients, and its training as a model of the common loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.codecs import network
from unified_jax.codecs.network import NetworkCodec
from unified_jax.codecs.vq import VectorQuantised
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.models.vq import vq
from unified_jax.objectives.reconstruct import Reconstruct
from unified_jax.objectives.total import losses, total

TINY = dict(patch=2, width=8, multipliers=(1, 2), depth=1, code=dict(kind="nearest", size=24, width=4))


def pictures(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (n, height, width, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    """A tiny codec and its (random) parameters."""
    module = VectorQuantised(**TINY)
    return NetworkCodec(module), jax.jit(module.init)(jax.random.key(0), pictures(1, 8, 8))["params"]


@pytest.mark.parametrize("n,height,width", [(1, 8, 8), (3, 8, 16), (5, 12, 4)])
def test_codes_are_a_grid_of_integers_in_range_and_decode_to_the_same_size(trained, n, height, width):
    codec, params = trained
    codes = codec.encode(params, pictures(n, height, width))
    assert codes.shape == (n, *codec.grid(height, width), *codec.shape) and codes.dtype == codec.dtype
    assert 0 <= codes.min() and codes.max() < 24
    pixels = codec.decode(params, codes)
    assert pixels.shape == (n, height, width, 3) and np.isfinite(pixels).all()


def test_pictures_do_not_depend_on_the_batch_they_come_in(trained, monkeypatch):
    codec, params = trained
    monkeypatch.setattr(network, "PIXELS_AT_ONCE", 4 * 8 * 8 + 10)
    batch = pictures(7, 8, 8)
    together = codec.encode(params, batch)
    for picture, codes in zip(batch, together):
        np.testing.assert_array_equal(codec.encode(params, picture[None])[0], codes)
    assert codec.encode(params, batch[:0]).shape == (0, 2, 2)
    decoded = codec.decode(params, together)
    np.testing.assert_allclose(codec.decode(params, together[2:3])[0], decoded[2], atol=1e-5)


def test_decoding_the_codes_is_the_reconstruction_that_training_sees(trained):
    codec, params = trained
    pixels = pictures(2, 8, 12)
    reconstruction, quantised = jax.jit(codec.module.apply)({"params": params}, pixels)
    np.testing.assert_array_equal(quantised.codes, codec.encode(params, pixels))
    np.testing.assert_allclose(reconstruction, codec.decode(params, quantised.codes), atol=1e-5)


@pytest.mark.parametrize("change", [{"groups": 4}, {"attention": 1}, {"groups": 2, "attention": 2, "patch": 1}])
def test_group_norm_and_attention_build_the_published_kind(change):
    module = VectorQuantised(**TINY | change)
    pixels = pictures(1, 8, 16)
    (reconstruction, quantised), _ = jax.eval_shape(module.init_with_output, jax.random.key(0), pixels)
    assert reconstruction.shape == pixels.shape
    assert quantised.codes.shape == (1, 8 // module.factor, 16 // module.factor)


def test_a_quantiser_of_several_codes_a_place_needs_a_codec_that_says_so():
    code = {"kind": "residual", "depth": 3, "stage": {"kind": "nearest", "size": 6, "width": 4, "measure": "unchanged"}}
    module = VectorQuantised(**TINY | {"code": code})
    params = NetworkCodec(module).init(jax.random.key(0))
    with pytest.raises(ValueError, match=r"\(1, 2, 4, 3\), where \(1, 2, 4\) is needed"):
        NetworkCodec(module).encode(params, pictures(1, 8, 16))
    codec = NetworkCodec(module, shape=(3,))
    codes = codec.encode(params, pictures(1, 8, 16))
    assert codes.shape == (1, 2, 4, 3) and codec.decode(params, codes).shape == (1, 8, 16, 3)


def test_sizes_read_from_json_build_the_same_module():
    code = {"kind": "scalar", "levels": [5, 5]}
    listed, tupled = (VectorQuantised(multipliers=m, code=code) for m in ([1, 2], (1, 2)))
    assert listed == tupled and hash(listed) == hash(tupled) and listed.codes == 25


@pytest.mark.parametrize("height,width", [(10, 8), (8, 2)])
def test_wrong_sizes_are_refused(trained, height, width):
    codec, params = trained
    with pytest.raises(ValueError, match=f"{width}x{height} pixels.*multiples of 4"):
        codec.encode(params, pictures(1, height, width))


def test_missing_parameters_and_codes_outside_the_book_are_refused(trained):
    codec, params = trained
    with pytest.raises(ValueError, match="codec"):
        codec.encode({}, pictures(1, 8, 8))
    with pytest.raises(ValueError, match="0 to 23, found 0 to 24"):
        codec.decode(params, np.array([[[0, 24]]]))


# As a model.


@pytest.fixture(scope="module")
def model(tokenizer):
    return vq(tokenizer, codec=TINY, image_size=(8, 16))


def packed(model, n: int = 2, entries: int = 8):
    pixels = np.random.default_rng(0).integers(0, 256, (n, 8, 16, 3), dtype=np.uint8)
    documents = [Document([Text("not seen"), Image(x, target=bool(i % 2))]) for i, x in enumerate(pixels)]
    plans = [[model.family.plan(document)] for document in documents]
    seq = pack(plans, model.family.streams, Layout({"main": entries}, {"image": entries}))
    return jax.tree.map(jnp.asarray, seq)


def test_a_row_is_a_picture_and_every_parameter_learns_from_it(model):
    seq = packed(model)
    assert (seq.streams["image"].weight == 1).all()
    params = jax.jit(partial(model.init, method="predict"))(jax.random.key(0), seq)["params"]
    assert set(params) == {"codec"}
    objectives = (Reconstruct("image"),)

    def loss(params):
        predict = lambda seq: model.apply({"params": params}, seq, method="predict")
        return total(losses(predict, objectives, jax.random.key(0), seq), objectives)

    gradients = jax.jit(jax.grad(loss))(params)
    silent = [k for k, g in jax.tree_util.tree_leaves_with_path(gradients) if not jnp.any(g)]
    assert not silent, silent


def test_the_model_predicts_what_its_codec_reconstructs(model):
    seq = packed(model)
    params = jax.jit(partial(model.init, method="predict"))(jax.random.key(0), seq)["params"]
    found = jax.jit(partial(model.apply, method="predict"))({"params": params}, seq)["image"]
    grid = seq.streams["image"].values.reshape(2, 2, 4, -1)
    codec, pixels = NetworkCodec(model.codec), model.family.codec.decode({}, grid)
    again = codec.decode(params["codec"], codec.encode(params["codec"], pixels))
    np.testing.assert_allclose(model.family.codec.decode({}, found.values.reshape(grid.shape)), again, atol=1e-5)


def test_documents_and_rows_that_are_not_one_picture_are_refused(model):
    with pytest.raises(ValueError, match="documents of one picture; this one has 0"):
        model.family.plan([Text("no picture")])
    with pytest.raises(ValueError, match=r"2 x 4 patches.*\(2, 2\)"):
        model.family.plan([Image(np.zeros((8, 8, 3), np.uint8))])
    with pytest.raises(ValueError, match="2 x 4 entries.*room for 9"):
        model.init(jax.random.key(0), packed(model, entries=9), method="predict")
