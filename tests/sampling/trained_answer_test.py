"""Trained on answers of several parts, a model decides itself when to draw and when to end."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from unified_jax.data.document import Answer, Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.models.pretrained import parameters
from unified_jax.models.transfusion import PATH, transfusion
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.next_token import NextToken
from unified_jax.objectives.total import losses, total
from unified_jax.sampling.generate import generate_batch

STEPS = 200
RED, BLUE = (255, 0, 0), (0, 0, 255)


def say(text: str) -> Text:
    return Text(text, target=True)


def paint(colour: tuple[int, int, int]) -> Image:
    return Image(np.full((8, 8, 3), colour, np.uint8), target=True)


DOCUMENTS = [
    Document([Text("red"), say("a red circle"), paint(RED), say("what colour?"), paint(BLUE), say("blue")]),
    Document([Text("blue"), paint(BLUE), say("a blue square")]),
    Document([Text("square"), say("a square"), paint(RED)]),
    Document([Text("circle"), say("draw a circle")]),
]


def trained(model):
    """Parameters after a few steps on the documents."""
    layout = Layout({"main": 64}, {"text": 48, "image": 16})
    seq = jax.tree.map(jnp.asarray, pack([[model.family.plan(d)] for d in DOCUMENTS], model.family.streams, layout))
    objectives, optimizer = (NextToken("text"), Flow("image", path=PATH)), optax.adam(3e-3)

    def loss(params, rng):
        predict = lambda seq: model.apply({"params": params}, seq, method="predict")
        return total(losses(predict, objectives, rng, seq), objectives)

    @jax.jit
    def step(i, state):
        params, inner = state
        updates, inner = optimizer.update(jax.grad(loss)(params, jax.random.fold_in(jax.random.key(1), i)), inner)
        return optax.apply_updates(params, updates), inner

    params = parameters(model, jax.random.key(0))
    return jax.lax.fori_loop(0, STEPS, step, (params, optimizer.init(params)))[0]


def test_a_trained_model_alternates_as_it_was_taught(tokenizer):
    model = transfusion(tokenizer, width=32, depth=2, num_heads=2, hidden=64, patch=4, image_size=(8, 8))
    asked = [Document([document[0], Answer()]) for document in DOCUMENTS]
    for taught, made in zip(DOCUMENTS, generate_batch(model, trained(model), asked, steps=6)):
        assert [type(part) for part in made] == [type(part) for part in taught]
        for one, other in zip(made, taught):
            if isinstance(one, Text):
                assert one.text == other.text
            else:
                assert np.abs(one.pixels.astype(int) - other.pixels).mean() < 30
