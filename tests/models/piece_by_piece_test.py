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
from unified_jax.sampling import solvers
from unified_jax.sampling.generate import generate

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


def test_what_is_drawn_in_turn_is_what_one_forward_pass_says(system):
    model, params, objective, layout = system
    made = generate(model, params, drawing(model).prompt(), rng=KEY, steps=3, image_temperature=0.0)[1]
    seq = batch(model, params, Document([drawing(model)[0], made]), layout)
    entries = slice(0, made.values.size if isinstance(objective, NextToken) else N)
    assert (seq.streams["image"].weight[0, entries] == 1).all()
    if isinstance(objective, RandomOrder):
        order = jax.random.permutation(jax.random.fold_in(blank_key(), 0), N)
        assert (order != jnp.arange(N)).any()
        codes = jnp.asarray(made.values.ravel())[order]
        for stream, values in (("place", order), ("image", codes)):
            seq = seq.put(stream, values=seq.streams[stream].values.at[0, entries].set(values))
    if not isinstance(objective, TokenFlow):
        logits = model.apply({"params": params}, seq, method="predict")["image"][0, entries]
        np.testing.assert_array_equal(logits.argmax(-1), seq.streams["image"].values[0, entries])
        assert len(np.unique(made.values)) > 1
        return
    # The temperature 0 leaves no noise; the head runs alone on the states of the whole picture.
    output = model.apply({"params": params}, seq)
    room = seq.streams["image"].slot.shape

    def velocity(x, t):
        draft = Draft(x, jnp.broadcast_to(t, room))
        read = lambda module: module.read(output, seq.put("image", draft=draft))["image"]
        return PATH.velocity(model.apply({"params": params}, method=read), x, draft.time)

    values = solvers.euler(velocity, jnp.zeros_like(seq.streams["image"].values), jnp.linspace(1, 0, 4))
    np.testing.assert_allclose(values[0, entries], made.values.reshape(N, -1), atol=2e-4)
    assert np.ptp(made.values) > 0.1


def test_the_prompt_the_key_and_guidance_change_the_picture(system):
    model, params, _, _ = system

    def draw(text: str, **settings):
        prompt = [Text(text), Image(target=True)]
        return generate(model, params, prompt, **{"rng": KEY, "steps": 2, **settings})[1].values

    first = draw("red circle")
    np.testing.assert_array_equal(first, draw("red circle"))
    for other in (
        draw("what colour?"),
        draw("red circle", rng=jax.random.key(9)),
        draw("red circle", guidance_scale=9.0),
    ):
        assert (first != other).any()


def test_text_after_a_picture_that_was_drawn_in_turn_sees_it(tokenizer):
    make, _, layout = SYSTEMS["next_step"]
    model = make(tokenizer)
    params = jax.tree.map(lambda x: 3 * x, parameters(model, jax.random.key(0)))
    prompt = Document([Text("a red circle"), Image(target=True), Text(target=True)])
    _, image, answer = generate(model, params, prompt, steps=2, max_tokens=4)
    given = Document([prompt[0], image, Text("", target=True, values=np.array([*answer.values, 7], np.int32))])
    seq = batch(model, params, given, layout)
    logits = model.apply({"params": params}, seq, method="predict")["text"][0]
    learned = np.flatnonzero(seq.streams["text"].weight[0])[1:]  # the first learned entry is <boi>
    np.testing.assert_array_equal(logits[learned[: len(answer.values)]].argmax(-1), answer.values)


def test_var_says_what_it_cannot_write(tokenizer):
    model = SYSTEMS["var"][0](tokenizer)
    codes = Image(values=np.zeros(5, np.int32))
    with pytest.raises(ValueError, match="draws a picture as its whole answer"):
        model.family.write(Document([codes, Text("blue", target=True)]))
    with pytest.raises(ValueError, match="16x8 pixels: the scales of this codec are of 8x8"):
        var(tokenizer, codec=SCALES, **{**BODY, "image_size": (8, 16)})
