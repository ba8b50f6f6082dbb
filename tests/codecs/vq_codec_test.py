"""The vector-quantised codec: shapes and ranges, its gradients, and its training as a model of the common loop."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.codecs import vq as codec_file
from unified_jax.codecs.vq import Quantiser, VectorQuantised, VqCodec, codebook_use, unit
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.models.vq import vq
from unified_jax.objectives.reconstruct import Reconstruct
from unified_jax.objectives.total import losses, total

TINY = dict(patch=2, width=8, multipliers=(1, 2), depth=1, codes=24, code_dim=4)


def pictures(n: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (n, height, width, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def trained():
    """A tiny codec and its (random) parameters."""
    module = VectorQuantised(**TINY)
    return VqCodec(module), jax.jit(module.init)(jax.random.key(0), pictures(1, 8, 8))["params"]


@pytest.mark.parametrize("n,height,width", [(1, 8, 8), (3, 8, 16), (5, 12, 4)])
def test_codes_are_a_grid_of_integers_in_range_and_decode_to_the_same_size(trained, n, height, width):
    codec, params = trained
    codes = codec.encode(params, pictures(n, height, width))
    assert codes.shape == (n, *codec.grid(height, width), *codec.shape) and codes.dtype == codec.dtype
    assert 0 <= codes.min() and codes.max() < TINY["codes"]
    pixels = codec.decode(params, codes)
    assert pixels.shape == (n, height, width, 3) and np.isfinite(pixels).all()


def test_pictures_do_not_depend_on_the_batch_they_come_in(trained, monkeypatch):
    codec, params = trained
    monkeypatch.setattr(codec_file, "MOST_AT_ONCE", 4)
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


def test_sizes_read_from_json_build_the_same_module():
    assert hash(VectorQuantised(multipliers=[1, 2])) == hash(VectorQuantised(multipliers=(1, 2)))


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


# The quantiser by itself.


@pytest.fixture
def quantiser(getkey):
    """A quantiser without its entropy term, its parameters, and latents."""
    module = Quantiser(size=6, width=3, commitment=0.5, entropy=0.0)
    latents = jax.random.normal(getkey(), (2, 5, 3))
    return module, module.init(getkey(), latents), latents


def test_the_nearest_unit_vector_is_chosen(quantiser):
    module, params, latents = quantiser
    found = module.apply(params, latents)
    vectors, z = unit(params["params"]["codebook"]), unit(latents)
    distance = jnp.square(z[..., None, :] - vectors).sum(-1)
    np.testing.assert_array_equal(found.codes, distance.argmin(-1))
    np.testing.assert_allclose(found.vectors, vectors[found.codes], atol=1e-6)
    np.testing.assert_allclose(found.penalty, 1.5 * distance.min(-1) / 3, rtol=1e-5)
    np.testing.assert_allclose(module.apply(params, found.codes, method="lookup"), found.vectors, atol=1e-6)


def test_the_gradient_passes_the_choice_as_if_it_were_not_there(quantiser, getkey):
    module, params, latents = quantiser
    direction = jax.random.normal(getkey(), latents.shape)
    through = jax.jit(jax.grad(lambda p, x: (module.apply(p, x).vectors * direction).sum(), argnums=(0, 1)))(
        params, latents
    )
    np.testing.assert_allclose(through[1], jax.grad(lambda x: (unit(x) * direction).sum())(latents), atol=1e-6)
    assert not jnp.any(through[0]["params"]["codebook"])  # vectors learn from the penalty alone


def test_the_penalty_pulls_vectors_and_latents_towards_each_other(quantiser):
    module, params, latents = quantiser
    codes = module.apply(params, latents).codes

    def expected(params, latents):
        z, e = unit(latents), unit(params["params"]["codebook"])[codes]
        fixed = jax.lax.stop_gradient
        return (jnp.square(e - fixed(z)) + 0.5 * jnp.square(fixed(e) - z)).mean(-1).sum()

    found = jax.jit(jax.grad(lambda p, x: module.apply(p, x).penalty.sum(), argnums=(0, 1)))(params, latents)
    wanted = jax.jit(jax.grad(expected, argnums=(0, 1)))(params, latents)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, wanted)


@pytest.mark.parametrize("entropy,reached", [(0.0, False), (0.1, True)])
def test_only_entropy_reaches_codes_that_nothing_chose(entropy, reached, getkey):
    latents = jnp.ones((4, 3)) + 0.1 * jax.random.normal(getkey(), (4, 3))
    module = Quantiser(size=6, width=3, entropy=entropy)
    params = module.init(jax.random.key(1), latents)
    dead = np.setdiff1d(np.arange(6), module.apply(params, latents).codes)
    gradient = jax.jit(jax.grad(lambda p: module.apply(p, latents).penalty.mean()))(params)["params"]["codebook"]
    assert len(dead) and bool(jnp.abs(gradient[dead]).sum() > 0) == reached


def test_entropy_term_is_the_information_of_a_code_about_its_entry():
    logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]]))
    p = np.exp(logits)
    h = lambda p: -(p * np.log(p)).sum(-1)
    np.testing.assert_allclose(codec_file._information(logits).mean(), h(p.mean(0)) - h(p).mean(), rtol=1e-5)


def test_codebook_use():
    even, one = codebook_use(jnp.arange(8) % 4, size=8), codebook_use(jnp.zeros(5, int), size=8)
    np.testing.assert_allclose([even.usage, even.perplexity], [0.5, 4.0], rtol=1e-6)
    np.testing.assert_allclose([one.usage, one.perplexity], [1 / 8, 1.0], rtol=1e-6)


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
    codec, pixels = VqCodec(model.codec), model.family.codec.decode({}, grid)
    again = codec.decode(params["codec"], codec.encode(params["codec"], pixels))
    np.testing.assert_allclose(model.family.codec.decode({}, found.values.reshape(grid.shape)), again, atol=1e-5)


def test_documents_and_rows_that_are_not_one_picture_are_refused(model):
    with pytest.raises(ValueError, match="documents of one picture; this one has 0"):
        model.family.plan([Text("no picture")])
    with pytest.raises(ValueError, match=r"2 x 4 patches.*\(2, 2\)"):
        model.family.plan([Image(np.zeros((8, 8, 3), np.uint8))])
    with pytest.raises(ValueError, match="2 x 4 entries.*room for 9"):
        model.init(jax.random.key(0), packed(model, entries=9), method="predict")
