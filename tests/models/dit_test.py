"""DiT: a picture is told its own words and time, packed or not, by any objective; what is drawn is the full forward."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.dit.shapes import OBJECTIVES
from unified_jax.core.paths import path_name
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.models.dit import dit
from unified_jax.models.dit_bodies import BODIES
from unified_jax.models.pretrained import from_pretrained, parameters, save_pretrained
from unified_jax.objectives.mean_flow import MeanFlow
from unified_jax.objectives.total import losses, total
from unified_jax.sampling.generate import generate_batch

BODY = dict(width=16, num_heads=2, patch=4, image_size=(8, 12))
ROOM = {"text": 24, "image": 12}
WORDS, OTHER_WORDS = "a red circle", "what colour is the square?"


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)


def varied(params):
    """Not as at the start, where every gate is shut."""
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda x: x + np.asarray(0.3 * rng.normal(size=x.shape), x.dtype), params)


def zeros(model):
    shapes = jax.eval_shape(partial(parameters, model), jax.random.key(0))
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


@dataclasses.dataclass(frozen=True)
class Subject:
    """fresh: parameters as they are drawn. predict: jitted."""

    model: object
    fresh: object
    params: object
    predict: object


def built(tokenizer, words: str, depth: int) -> Subject:
    """Told lengths too, as networks of average velocities are."""
    model = dit(tokenizer, **BODY, depth=depth, way="average", words=words)
    fresh = jax.jit(partial(parameters, model))(jax.random.key(0))
    predict = jax.jit(lambda params, seq: model.apply({"params": params}, seq, method="predict")["image"])
    return Subject(model, fresh, varied(fresh), predict)


@pytest.fixture(scope="module")
def pooled(tokenizer):
    return built(tokenizer, "pooled", 1)


@pytest.fixture(scope="module")
def joint(tokenizer):
    return built(tokenizer, "joint", 2)


def batch(model, *rows):
    plans = [[model.family.plan(document) for document in documents] for documents in rows]
    return jax.tree.map(jnp.asarray, pack(plans, model.family.streams, Layout(ROOM, ROOM)))


def drawing(text: str | None = WORDS) -> Document:
    return Document([*([] if text is None else [Text(text)]), Image(pixels(1), target=True)])


@pytest.mark.parametrize("name", BODIES)
def test_packed_documents_are_told_their_own_words_and_times(name, request):
    """Two rows of one document each, and one row of both."""
    subject = request.getfixturevalue(name)
    apart = batch(subject.model, [drawing()], [drawing(OTHER_WORDS)])
    together = batch(subject.model, [drawing(), drawing(OTHER_WORDS)], [])
    times = jnp.repeat(jnp.array([0.3, 0.8]), 6)
    row = lambda times: jnp.tile(times, (2, 1))
    ends = dict(time=row(times), until=row(times / 2))
    expected = subject.predict(
        subject.params, apart.put("image", time=row(times).at[1].set(0.8), until=row(times / 2).at[1].set(0.4))
    )
    found = subject.predict(subject.params, together.put("image", **ends))
    np.testing.assert_allclose(found[0, :6], expected[0, :6], atol=1e-5)
    np.testing.assert_allclose(found[0, 6:], expected[1, :6], atol=1e-5)
    swapped = together.put("image", time=row(times[::-1]), until=row(times / 2))
    assert (jnp.abs(subject.predict(subject.params, swapped)[0] - found[0]) > 1e-4).any(-1).all()


def test_every_part_of_the_condition_counts(pooled):
    seq = batch(pooled.model, [drawing()], [drawing(OTHER_WORDS)])
    time, until = (jnp.full((2, 12), t) for t in (0.5, 0.2))
    run = lambda **fields: pooled.predict(pooled.params, seq.put("image", **fields))[:, :6]
    usual = run(time=time)
    np.testing.assert_array_equal(run(time=time, until=time), usual)  # the velocity, where nothing else is asked for
    for other in (run(time=until), run(time=time, until=until), usual[::-1]):
        assert (jnp.abs(other - usual) > 1e-4).any((1, 2)).all()


def test_at_the_start_the_gates_are_shut_and_the_prediction_is_zero(pooled):
    seq = batch(pooled.model, [drawing()], [])
    seq = seq.put("image", until=seq.streams["image"].time)
    np.testing.assert_array_equal(pooled.predict(pooled.fresh, seq), 0.0)
    gates = [x for path, x in jax.tree_util.tree_leaves_with_path(pooled.fresh) if "modulation" in str(path)]
    assert gates and not any(x.any() for x in gates)


def test_pictures_of_texts_of_any_length_are_drawn_together_by_the_full_forward(pooled):
    """One jump from noise, x - u(x, 1, 0), guided; null rows have no words."""
    texts, rng = (WORDS, OTHER_WORDS), jax.random.key(3)
    made = generate_batch(
        pooled.model, pooled.params, [drawing(text).prompt() for text in texts], rng=rng, steps=1, guidance_scale=3.0
    )
    for i, text in enumerate(texts):
        noise = jax.random.normal(jax.random.split(jax.random.fold_in(rng, i))[1], (6, 48))
        seq = batch(pooled.model, [drawing(text)], [drawing(None)])
        seq = seq.put("image", time=jnp.ones((2, 12)), until=jnp.zeros((2, 12)))
        seq = seq.put("image", values=jnp.tile(jnp.pad(noise, ((0, 6), (0, 0))), (2, 1, 1)))
        told, null = pooled.predict(pooled.params, seq)[:, :6]
        expected = noise - (null + 3.0 * (told - null))
        np.testing.assert_allclose(made[i][-1].values.reshape(6, 48), expected, rtol=1e-4, atol=1e-4)


def loss_of(model, objective):
    seq = batch(model, [drawing()], [drawing(None)])

    def loss(params):
        predict = lambda seq: model.apply({"params": params}, seq, method="predict")
        return total(losses(predict, (objective,), jax.random.key(0), seq), (objective,))

    return jax.value_and_grad(loss)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_a_loss_and_a_gradient(tokenizer, name):
    """Traced; what they compute is tested without a model."""
    way, make, _ = OBJECTIVES[name]
    model = dit(tokenizer, **BODY, depth=1, way=way)
    params = jax.eval_shape(partial(parameters, model), jax.random.key(0))
    value, gradients = jax.eval_shape(loss_of(model, make("image")), params)
    assert value.shape == () and jax.tree.structure(gradients) == jax.tree.structure(params)


def test_every_parameter_learns_but_the_last_queries_of_the_words(joint):
    value, gradients = jax.jit(loss_of(joint.model, MeanFlow("image")))(joint.params)
    silent = {path_name(k) for k, g in jax.tree_util.tree_leaves_with_path(gradients) if not jnp.any(g)}
    assert jnp.isfinite(value)
    assert silent <= {f"backbone/stack/stages_1/layer/{x}" for x in ("q_text/kernel", "q_text/bias", "k_text/bias")}


def test_a_folder_brings_back_the_way_and_the_body(tokenizer, tmp_path):
    model = dit(tokenizer, **BODY, depth=1, way="learned_variance", words="joint")
    save_pretrained(tmp_path, model, zeros(model))
    again, _ = from_pretrained(tmp_path)
    assert again.family.fills == model.family.fills and again.backbone.lanes == ("image", "text")


def test_what_it_cannot_write_or_build_is_refused(tokenizer):
    model = dit(tokenizer, **BODY)
    for document in ([Text("a", target=True)], [Image(pixels(1)), Text("b"), Image(target=True)]):
        with pytest.raises(ValueError, match="this model draws one picture after a text or after nothing"):
            model.plan(document)
    with pytest.raises(ValueError, match="unknown way 'fast'; choose one of flow, diffusion, learned_variance, cons"):
        dit(tokenizer, **BODY, way="fast")
    with pytest.raises(ValueError, match="unknown words 'crossed'; choose one of pooled, joint"):
        dit(tokenizer, **BODY, words="crossed")
    with pytest.raises(ValueError, match="width 18 must be a multiple of num_heads 3, and of 4"):
        dit(tokenizer, **BODY | dict(width=18, num_heads=3))
