"""Chameleon: documents written as the paper says, pictures as ids of one vocabulary, logits that look at them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.models.chameleon import chameleon, codes_of
from unified_jax.objectives.next_token import NextToken
from unified_jax.objectives.total import losses, total
from unified_jax.sampling.generate import generate

CODEC = dict(patch=2, width=8, multipliers=(1, 2), depth=1, code=dict(kind="nearest", size=24, width=4))
GRID, LENGTH = (2, 3), 6  # of 8 x 12 pictures


@pytest.fixture(scope="module")
def model(tokenizer):
    return chameleon(tokenizer, width=16, depth=1, num_heads=2, hidden=24, codec=CODEC, image_size=(8, 12))


@pytest.fixture(scope="module")
def params(model):
    codec = jax.jit(model.family.codec.init)(jax.random.key(1))
    seq = batch(model, {"codec": codec}, [QUESTION])
    return {**jax.jit(partial(model.init, method="predict"))(jax.random.key(0), seq)["params"], "codec": codec}


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)


QUESTION = Document([Image(pixels(0)), Text("what colour?"), Text("blue", target=True)])
DRAWING = Document([Text("a red circle"), Image(pixels(1), target=True)])


def batch(model, params, documents, slots: int = 40):
    plans = [[model.family.plan(document, params)] for document in documents]
    return pack(plans, model.family.streams, Layout({"main": slots}, {"text": slots}))


def test_a_picture_to_draw_is_written_as_in_the_paper(model, params, tokenizer):
    special, text = tokenizer.special, tokenizer.encode("a red circle")
    codes = model.family.encode([DRAWING], params)[0][1].values
    assert codes.shape == GRID and codes.dtype == np.int32 and 0 <= codes.min() and codes.max() < 24
    seq = batch(model, params, [DRAWING])
    ids = [special["<bos>"], *text, special["<turn>"], special["<boi>"], *(codes.ravel() + tokenizer.vocab)]
    entries, n = seq.streams["text"], len(ids)
    np.testing.assert_array_equal(entries.values[0, :n], ids)
    assert (entries.slot[0, n:] == 40).all()  # nothing more
    # Every entry stands in a block of its own and is predicted from the one before; the answer alone is learned.
    np.testing.assert_array_equal(seq.lanes["main"].block[0, :n], np.arange(n))
    np.testing.assert_array_equal(seq.lanes["main"].pos[0, :n, 0], np.arange(n))
    np.testing.assert_array_equal(entries.read[0, 1:n], np.arange(n - 1))
    np.testing.assert_array_equal(entries.weight[0, :n], np.arange(n) >= n - LENGTH - 1)


def test_a_given_picture_is_context_between_delimiters(model, params, tokenizer):
    special = tokenizer.special
    codes = model.family.encode([QUESTION], params)[0][0].values
    ids = np.concatenate([values for span in model.family.plan(QUESTION, params) for _, values in span.parts])
    learn = np.concatenate(
        [[span.learn] * len(v) for span in model.family.plan(QUESTION, params) for _, v in span.parts]
    )
    answer = [*tokenizer.encode("blue"), special["<eos>"]]
    start = [special["<bos>"], special["<boi>"], *(codes.ravel() + tokenizer.vocab), special["<eoi>"]]
    np.testing.assert_array_equal(ids[: len(start)], start)
    np.testing.assert_array_equal(ids[-len(answer) :], answer)
    np.testing.assert_array_equal(learn, np.arange(len(ids)) >= len(ids) - len(answer))


def test_a_blank_picture_is_one_span_to_fill_with_codes_alone(model, tokenizer):
    *_, blank = model.family.plan([Text("a red circle"), Image(target=True)])
    fill = model.family.fills[blank.fill]
    assert blank.sizes() == {"text": LENGTH} and blank.attend == "causal"
    assert fill.length == LENGTH and fill.allowed == (tokenizer.vocab, tokenizer.vocab + 24)
    assert model.family.fills["text"].allowed == (0, tokenizer.vocab)


def test_codes_survive_the_way_to_ids_and_back(model, params, tokenizer):
    codes = model.family.encode([DRAWING], params)[0][1].values
    ids = model.family.plan(DRAWING, params)[-1].parts[0][1]
    np.testing.assert_array_equal(model.family.values_of(ids), codes)
    for wrong in (ids[:-1], ids - tokenizer.vocab):
        with pytest.raises(ValueError, match=f"2 x 3 ids from {tokenizer.vocab}"):
            codes_of(wrong, first=tokenizer.vocab, grid=GRID)


def test_every_parameter_but_the_codecs_learns(model, params):
    seq = jax.tree.map(jnp.asarray, batch(model, params, [QUESTION, DRAWING]))
    objectives = (NextToken("text"),)

    def loss(params):
        predict = lambda seq: model.apply({"params": params}, seq, method="predict")
        return total(losses(predict, objectives, jax.random.key(0), seq), objectives)

    gradients = dict(jax.jit(jax.grad(loss))(params))
    codec = gradients.pop("codec")
    silent = [k for k, g in jax.tree_util.tree_leaves_with_path(gradients) if not jnp.any(g)]
    assert not silent, silent
    assert not any(jnp.any(g) for g in jax.tree.leaves(codec))


def test_the_answer_depends_on_the_picture(model, params):
    other = Document([Image(pixels(5)), *QUESTION[1:]])
    seq = jax.tree.map(jnp.asarray, batch(model, params, [QUESTION, other]))
    logits = jax.jit(partial(model.apply, method="predict"))({"params": params}, seq)["text"]
    learned = seq.streams["text"].weight[0] > 0
    assert jnp.abs(logits[0] - logits[1])[learned].max() > 1e-3


def test_generation_draws_a_picture_of_codes(model, params):
    image = generate(model, params, DRAWING.prompt())[1]
    assert image.pixels.shape == (8, 12, 3) and image.values.shape == GRID
    assert 0 <= image.values.min() and image.values.max() < 24


def test_pictures_that_do_not_divide_into_codes_are_refused(model, params):
    with pytest.raises(ValueError, match="8x10 pixels.*multiples of 4"):
        model.family.plan([Image(np.zeros((10, 8, 3), np.uint8)), Text("x", target=True)], params)
    with pytest.raises(ValueError, match="multiple of num_heads"):
        chameleon(model.family.tokenizer, width=17, codec=CODEC)
