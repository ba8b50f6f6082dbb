"""Sampling FLOPs: by hand for a small model, and how they grow with passes, guidance and the way of drawing."""

from functools import partial

import jax
import pytest

from unified_jax.data.document import Document, Image, Text
from unified_jax.models.next_step import next_step
from unified_jax.models.pretrained import parameters
from unified_jax.models.transfusion import transfusion
from unified_jax.sampling.fill import Settings
from unified_jax.train.sampling_flops import sampling_flops

BODY = dict(width=16, depth=2, num_heads=2, hidden=24, image_size=(8, 8), patch=4)
PROMPT = Document([Text("a red circle"), Image(target=True)])
N = 4  # patches


def flops(model, **settings) -> float:
    shapes = jax.eval_shape(partial(parameters, model), jax.random.key(0))
    return sampling_flops(model, shapes, PROMPT, Settings(**settings))


def test_a_flow_costs_its_prompt_once_and_its_picture_in_every_pass(tokenizer):
    model, steps = transfusion(tokenizer, **BODY), 3
    before = sum(span.sizes().get("text", 0) for span in model.plan(PROMPT))
    layer = 4 * 16 * 16 + 3 * 16 * 24
    slots = before + steps * N
    pairs = before * (before + 1) / 2 + steps * N * (before + N)
    picture = 16 * 48 * 2 + 128 * 16 + 16 * 16  # in, head, time
    expected = 2 * 2 * layer * slots + 4 * 2 * 16 * pairs + 2 * picture * steps * N
    assert flops(model, steps=steps) == pytest.approx(expected)


def test_more_passes_and_guidance_cost_more_and_a_step_of_a_head_costs_that_head_alone(tokenizer):
    flow, in_turn = transfusion(tokenizer, **BODY), next_step(tokenizer, head=dict(width=4, depth=1), **BODY)
    assert flops(flow, steps=8) > 1.5 * flops(flow, steps=4)
    assert 1.3 * flops(flow, steps=4) < flops(flow, steps=4, guidance_scale=2.0) < 2 * flops(flow, steps=4)
    shapes = jax.eval_shape(partial(parameters, in_turn), jax.random.key(0))["heads_image"]
    head = sum(layer["kernel"].size for layer in shapes.values())
    assert flops(in_turn, steps=8) - flops(in_turn, steps=4) == pytest.approx(2 * head * N * 4)
