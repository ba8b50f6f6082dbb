"""Show-o: a picture is one block of codes that starts as masks; what is drawn depends on the prompt and the cache."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.masking import find_ratio
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.models.pretrained import from_pretrained, parameters, save_pretrained
from unified_jax.models.show_o import show_o
from unified_jax.objectives.masked import Masked
from unified_jax.objectives.next_token import NextToken
from unified_jax.objectives.total import losses, total
from unified_jax.sampling.generate import generate, generate_batch

CODEC = dict(patch=2, width=8, multipliers=(1, 2), depth=1, code=dict(kind="nearest", size=24, width=4))
BODY = dict(width=16, depth=1, num_heads=2, hidden=24, codec=CODEC, image_size=(8, 12))
MASK, GRID = 24, (2, 3)


@pytest.fixture(scope="module")
def model(tokenizer):
    return show_o(tokenizer, **BODY)


@pytest.fixture(scope="module")
def params(model):
    """Large enough for outputs to vary."""
    drawn = jax.jit(partial(parameters, model))(jax.random.key(0))
    rng = np.random.default_rng(1)
    vary = lambda x: x + np.asarray(0.5 * rng.normal(size=x.shape), x.dtype)
    return {name: x if name == "codec" else jax.tree.map(vary, x) for name, x in drawn.items()}


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)


DRAWING = Document([Text("a red circle"), Image(pixels(1), target=True)])
STORY = Document([Text("a red circle"), Image(pixels(1), target=True), Text("blue", target=True)])


def batch(model, params, documents):
    plans = [[model.family.plan(document, params)] for document in documents]
    return pack(plans, model.family.streams, Layout({"main": 48}, {"text": 32, "image": 16}))


def test_a_picture_to_learn_is_a_private_block_and_its_clean_copy_follows_where_more_does(model, params):
    seq = batch(model, params, [DRAWING, STORY])
    slots, image = seq.lanes["main"], seq.streams["image"]
    for row, copies in ((0, 1), (1, 2)):
        used = image.slot[row] < 48
        assert used.sum() == copies * 6
        np.testing.assert_array_equal(image.read[row, used], image.slot[row, used])
        np.testing.assert_array_equal(image.weight[row, used], np.arange(copies * 6) < 6)
        np.testing.assert_array_equal(slots.private[row, image.slot[row, used]], np.arange(copies * 6) < 6)
    np.testing.assert_array_equal(image.values[1, :6], image.values[1, 6:12])


def test_every_parameter_but_the_codecs_learns(model, params):
    seq = jax.tree.map(jnp.asarray, batch(model, params, [DRAWING, STORY]))
    objectives = (NextToken("text"), Masked("image", MASK))

    def loss(params):
        predict = lambda seq: model.apply({"params": params}, seq, method="predict")
        return total(losses(predict, objectives, jax.random.key(0), seq), objectives)

    value, gradients = jax.jit(jax.value_and_grad(loss))(params)
    codec = gradients.pop("codec")
    silent = [k for k, g in jax.tree_util.tree_leaves_with_path(gradients) if not jnp.any(g)]
    assert jnp.isfinite(value) and not silent, silent
    assert not any(jnp.any(g) for g in jax.tree.leaves(codec))


def test_one_greedy_pass_against_the_cache_equals_the_full_forward_of_masks(model, params):
    made = generate(model, params, DRAWING.prompt(), steps=1, image_temperature=0.0)[1]
    hidden = Document([DRAWING[0], Image(target=True, values=np.full(GRID, MASK, np.int32))])
    seq = jax.tree.map(jnp.asarray, batch(model, params, [hidden]))
    logits = model.apply({"params": params}, seq, method="predict")["image"][0, :6]
    np.testing.assert_array_equal(made.values.ravel(), logits.argmax(-1))
    assert len(set(made.values.ravel().tolist())) > 1


def test_text_after_a_drawn_picture_sees_its_codes_and_not_the_masks(model, params):
    prompt = Document([Text("a red circle"), Image(target=True), Text(target=True)])
    _, image, answer = generate(model, params, prompt, steps=3, max_tokens=4)
    given = Document([prompt[0], image, Text("", target=True, values=np.array([*answer.values, 7], np.int32))])
    seq = jax.tree.map(jnp.asarray, batch(model, params, [given]))
    logits = model.apply({"params": params}, seq, method="predict")["text"][0]
    learned = np.flatnonzero(seq.streams["text"].weight[0])[1:]  # the first learned entry is <boi>
    np.testing.assert_array_equal(logits[learned[: len(answer.values)]].argmax(-1), answer.values)


def test_swapping_the_prompt_changes_the_picture_and_the_same_key_repeats_it(model, params):
    draw = lambda text, **settings: generate(model, params, [Text(text), Image(target=True)], steps=3, **settings)[1]
    np.testing.assert_array_equal(draw("red circle").values, draw("red circle").values)
    assert (draw("red circle").values != draw("what colour?").values).any()
    assert (draw("red circle").values != draw("red circle", guidance_scale=9.0).values).any()
    barely = draw("red circle", guidance_scale=1.0 + 1e-6, image_temperature=0.0)
    np.testing.assert_array_equal(draw("red circle", image_temperature=0.0).values, barely.values)


def test_another_process_draws_codes_too(tokenizer, params):
    model = show_o(tokenizer, **BODY, process="uniform", ratio="linear")
    pictures = generate_batch(model, params, [DRAWING.prompt()] * 2, steps=4)
    values = [picture[1].values for picture in pictures]
    assert all(0 <= x.min() and x.max() < 24 for x in values) and (values[0] != values[1]).any()


def test_a_folder_brings_back_the_process(tokenizer, params, tmp_path):
    model = show_o(tokenizer, **BODY, process="absorbing", ratio="square")
    save_pretrained(tmp_path, model, params)
    again, _ = from_pretrained(tmp_path)
    assert again.family.fills["image"].process == model.family.fills["image"].process
    assert again.family.fills["image"].process.ratio is find_ratio("square")


def test_unknown_names_are_refused(tokenizer):
    with pytest.raises(ValueError, match="unknown process 'masked'; choose one of confident, absorbing, uniform"):
        show_o(tokenizer, **BODY, process="masked")
    with pytest.raises(ValueError, match="unknown mask ratio 'line'"):
        show_o(tokenizer, **BODY, ratio="line")
