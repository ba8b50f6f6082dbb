"""RandAR and NextStep: what is drawn entry by entry against the cache is what one forward pass over all of it says."""

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
from unified_jax.objectives.next_token import NextToken
from unified_jax.objectives.random_order import RandomOrder
from unified_jax.objectives.token_flow import TokenFlow
from unified_jax.objectives.total import losses, total
from unified_jax.sampling import solvers
from unified_jax.sampling.generate import generate

CODEC = dict(patch=2, width=8, multipliers=(1, 2), depth=1, code=dict(kind="nearest", size=24, width=4))
BODY = dict(width=16, depth=1, num_heads=2, hidden=24, image_size=(8, 12))
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
}
N, KEY = 6, jax.random.key(3)


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)


DRAWING = Document([Text("a red circle"), Image(pixels(1), target=True)])
STORY = Document([Text("a red circle"), Image(pixels(1), target=True), Text("blue", target=True)])


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
    seq, objectives = batch(model, params, STORY, layout), (NextToken("text"), objective)

    def loss(params):
        predict = lambda seq: model.apply({"params": params}, seq, method="predict")
        return total(losses(predict, objectives, jax.random.key(0), seq), objectives)

    value, gradients = jax.jit(jax.value_and_grad(loss))(params)
    gradients.pop("codec", None)
    silent = [k for k, g in jax.tree_util.tree_leaves_with_path(gradients) if not jnp.any(g)]
    assert jnp.isfinite(value) and not silent, silent


def test_what_is_drawn_in_turn_is_what_one_forward_pass_says(system):
    model, params, objective, layout = system
    made = generate(model, params, DRAWING.prompt(), rng=KEY, steps=3, image_temperature=0.0)[1]
    seq, entries = batch(model, params, Document([DRAWING[0], made]), layout), slice(0, N)
    assert (seq.streams["image"].weight[0, entries] == 1).all()
    if isinstance(objective, RandomOrder):
        order = jax.random.permutation(jax.random.fold_in(blank_key(), 0), N)
        assert (order != jnp.arange(N)).any()
        codes = jnp.asarray(made.values.ravel())[order]
        for stream, values in (("place", order), ("image", codes)):
            seq = seq.put(stream, values=seq.streams[stream].values.at[0, entries].set(values))
        logits = model.apply({"params": params}, seq, method="predict")["image"][0, entries]
        np.testing.assert_array_equal(logits.argmax(-1), codes)
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


def test_the_prompt_and_the_key_change_the_picture_and_text_after_it_is_written(system):
    model, params, _, _ = system
    prompt = lambda text: Document([Text(text), Image(target=True), Text(target=True)])
    draw = lambda text, **settings: generate(model, params, prompt(text), **{"rng": KEY, "steps": 2, **settings})
    first, again = draw("red circle", max_tokens=2), draw("red circle", max_tokens=2)
    np.testing.assert_array_equal(first[1].values, again[1].values)
    assert (first[1].values != draw("what colour?", max_tokens=2)[1].values).any()
    assert (first[1].values != draw("red circle", rng=jax.random.key(9), max_tokens=2)[1].values).any()
    assert (first[1].values != draw("red circle", guidance_scale=9.0, max_tokens=2)[1].values).any()
    assert first[1].pixels.shape == (8, 12, 3) and first[2].text is not None
