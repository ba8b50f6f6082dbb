"""RandAR, NextStep and VAR: what is drawn piece by piece against a cache is what one forward pass over it all says."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.sequence import Draft
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.models.next_step import PATH, next_step
from unified_jax.models.pretrained import parameters
from unified_jax.models.rand_ar import rand_ar
from unified_jax.models.var import var
from unified_jax.objectives.next_token import NextToken
from unified_jax.objectives.random_order import RandomOrder
from unified_jax.objectives.token_flow import TokenFlow
from unified_jax.objectives.total import losses, total
from unified_jax.sampling.generate import generate, generate_batch

CODEC = dict(patch=2, width=8, multipliers=(1, 2), depth=1, code=dict(kind="nearest", size=24, width=4))
BODY = dict(width=16, depth=1, num_heads=2, hidden=24, image_size=(8, 12))
SCALES = {**CODEC, "code": dict(kind="scales", sides=(1, 2), convs=1, stage=dict(CODEC["code"], measure="unchanged"))}
SYSTEMS = {
    "rand_ar": (
        partial(rand_ar, codec=CODEC, **BODY),
        RandomOrder("image", hints="place"),
        Layout({"main": 64}, {"text": 32, "image": 12, "place": 12}),
    ),
    "next_step": (
        partial(next_step, patch=4, head=dict(width=16, depth=1), **BODY),
        TokenFlow("image", path=PATH),
        Layout({"main": 64}, {"text": 32, "image": 16}),
    ),
    "var": (
        partial(var, codec=SCALES, **{**BODY, "image_size": (8, 8)}),
        NextToken("image"),
        Layout({"main": 64}, {"text": 32, "image": 16}),
    ),
}
N, KEY = 6, jax.random.key(3)


def drawing(model) -> Document:
    pixels = np.random.default_rng(1).integers(0, 256, (*model.family.image_size, 3), dtype=np.uint8)
    return Document([Text("a red circle"), Image(pixels, target=True)])


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request, tokenizer):
    """A tiny model with weights large enough for outputs to vary; its objective and layout."""
    make, objective, layout = SYSTEMS[request.param]
    model = make(tokenizer)
    drawn = jax.jit(partial(parameters, model))(jax.random.key(0))
    rng = np.random.default_rng(1)
    vary = lambda x: x + np.asarray(0.5 * rng.normal(size=x.shape), x.dtype)
    params = {name: x if name == "codec" else jax.tree.map(vary, x) for name, x in drawn.items()}
    return model, params, objective, layout


def batch(model, params, document, layout):
    return jax.tree.map(jnp.asarray, pack([[model.family.plan(document, params)]], model.family.streams, layout))


def blank_key() -> jax.Array:
    """What the first blank of the first document of ``generate(rng=KEY)`` draws from."""
    return jax.random.split(jax.random.fold_in(KEY, 0))[1]


def test_every_parameter_but_the_codecs_learns(system):
    model, params, objective, layout = system
    seq, objectives = batch(model, params, drawing(model), layout), (NextToken("text"), objective)

    def loss(params):
        predict = lambda seq: model.apply({"params": params}, seq, method="predict")
        return total(losses(predict, objectives, jax.random.key(0), seq), objectives)

    value, gradients = jax.jit(jax.value_and_grad(loss))(params)
    gradients.pop("codec", None)
    silent = [k for k, g in jax.tree_util.tree_leaves_with_path(gradients) if not jnp.any(g)]
    assert jnp.isfinite(value) and not silent, silent


def test_what_is_drawn_in_pieces_and_said_of_it_is_what_one_forward_pass_says(system):
    model, params, objective, layout = system
    alone = isinstance(objective, NextToken)
    after = [] if alone else [Text(target=True)]
    prompt = Document([*drawing(model).prompt(), *after])
    _, image, *answer = generate(model, params, prompt, rng=KEY, steps=3, image_temperature=0.0, max_tokens=3)
    told = [Text("", target=True, values=np.array([*part.values, 7], np.int32)) for part in answer]
    seq = batch(model, params, Document([prompt[0], image, *told]), layout)
    predict = jax.jit(lambda seq: model.apply({"params": params}, seq, method="predict"))
    for part in answer:
        learned = np.flatnonzero(seq.streams["text"].weight[0])[1:]  # the first learned entry is <boi>
        logits = predict(seq)["text"][0, learned[: len(part.values)]]
        np.testing.assert_array_equal(logits.argmax(-1), part.values)
    entries = slice(0, image.values.size if alone else N)
    if isinstance(objective, RandomOrder):
        order = jax.random.permutation(jax.random.fold_in(blank_key(), 0), N)
        assert (order != jnp.arange(N)).any()
        codes = jnp.asarray(image.values.ravel())[order]
        for stream, values in (("place", order), ("image", codes)):
            seq = seq.put(stream, values=seq.streams[stream].values.at[0, entries].set(values))
    if isinstance(objective, TokenFlow):
        made = image.values.reshape(N, -1)
        np.testing.assert_allclose(integrated(model, params, seq)[0, entries], made, atol=2e-4)
        assert np.ptp(made) > 0.1
    else:
        logits = predict(seq)["image"][0, entries]
        np.testing.assert_array_equal(logits.argmax(-1), seq.streams["image"].values[0, entries])
        assert len(np.unique(image.values)) > 1


def integrated(model, params, seq) -> jax.Array:
    """Three Euler steps of the head alone, on the states of a whole picture; the temperature 0 leaves no noise."""

    @jax.jit
    def step(x, t, s):
        draft = Draft(x, jnp.broadcast_to(t, x.shape[:2]))
        shown = seq.put("image", draft=draft)
        output = model.apply({"params": params}, shown, method="predict")["image"]
        return x + (s - t) * (x - output) / t  # the output is the clean patch

    x, times = jnp.zeros_like(seq.streams["image"].values), jnp.linspace(1, 0, 4)
    for t, s in zip(times[:-1], times[1:]):
        x = step(x, t, s)
    return x


def test_the_prompt_and_the_key_change_the_picture(system):
    """Of several pictures: two prompts that share a key may well draw the same few codes."""
    model, params, _, _ = system

    def draw(text):
        blank = [Text(text), Image(target=True)]
        return np.stack([made.values for _, made in generate_batch(model, params, [blank] * 8, rng=KEY, steps=3)])

    first = draw("red circle")
    np.testing.assert_array_equal(first, draw("red circle"))
    assert len(np.unique(first, axis=0)) > 4
    for text in ("what colour?", "the blue square"):
        assert (first != draw(text)).reshape(8, -1).any(1).sum() > 2, text


def test_var_says_what_it_cannot_write(tokenizer):
    model = SYSTEMS["var"][0](tokenizer)
    codes = Image(values=np.zeros(5, np.int32))
    with pytest.raises(ValueError, match="draws a picture as its whole answer"):
        model.family.write(Document([codes, Text("blue", target=True)]))
    with pytest.raises(ValueError, match="16x8 pixels: the scales of this codec are of 8x8"):
        var(tokenizer, codec=SCALES, **{**BODY, "image_size": (8, 16)})
