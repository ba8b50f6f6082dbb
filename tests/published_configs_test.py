"""Configs of published systems: the published sizes, and small ones that train and do all that the system does."""

import json
import math

import jax
import numpy as np
import pytest

from unified_jax.data.document import Image
from unified_jax.models.pretrained import from_pretrained, parameters, save_pretrained
from unified_jax.sampling.generate import generate_batch
from unified_jax.train.experiment import Experiment
from unified_jax.train.loop import train

# Parameters of a variant, and who says so. Where a card rounds, so does the number. "class": the sum over the reference
# class of transformers at its published config (tests/parity/family_sizes_test.py has the classes).
SIZES = [
    ("configs/llava.py:v1_5_7b", 7_063_427_072, "model card of llava-hf/llava-1.5-7b-hf"),
    ("configs/llava.py:v1_5_13b", 13_351_494_656, "class"),
]
SYSTEMS = {
    "configs/llava.py": {"caption", "question"},
    "configs/blip2.py": {"caption", "question"},
    "configs/fuyu.py": {"caption", "question"},
    "configs/chameleon/released.py": {"caption", "question"},
    "configs/janus.py": {"caption", "question", "draw"},
    "configs/emu3.py": {"caption", "question", "draw"},
    "configs/show_o.py": {"caption", "question", "draw"},
    "configs/llamagen.py": {"draw"},
    "configs/bagel.py": {"caption", "question", "draw", "edit"},
}


@pytest.mark.parametrize(("spec", "count", "source"), SIZES)
def test_the_published_variants_have_the_published_sizes(spec, count, source, tokenizer):
    model = Experiment.load(spec).model(tokenizer)
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    assert abs(sum(math.prod(x.shape) for x in jax.tree.leaves(shapes)) / count - 1) < 1e-3


@pytest.mark.parametrize("config", SYSTEMS)
def test_a_small_one_learns_and_does_what_the_system_does(config, tmp_path):
    experiment = Experiment.load(f"{config}:debug", ["steps=3", "log_every=1"])
    trained = train(experiment, tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 3 and losses[-1] < losses[0]

    asked = [benchmark.documents[0] for benchmark in experiment.benchmarks()]
    assert {document.info["task"] for document in asked} == SYSTEMS[config]
    prompts, drawing = [document.prompt() for document in asked], experiment.config.drawing.to_dict()
    answers = generate_batch(trained.model, trained.params, prompts, max_tokens=4, **drawing)
    for truth, answer in zip(asked, answers):
        if isinstance(answer[-1], Image):
            assert answer[-1].pixels.shape == truth[-1].pixels.shape and answer[-1].pixels.dtype == np.uint8
        else:
            assert isinstance(answer[-1].text, str) and len(answer[-1].values)

    save_pretrained(tmp_path / "model", trained.model, trained.params)
    model, params = from_pretrained(tmp_path / "model")
    jax.tree.map(np.testing.assert_array_equal, params, trained.params)
    for document in answers:
        before, after = (one.plan(document, params) for one in (trained.model, model))
        assert [span.sizes() for span in before] == [span.sizes() for span in after]
        for a, b in zip(before, after):
            jax.tree.map(np.testing.assert_array_equal, [x for _, x in a.parts], [x for _, x in b.parts])
