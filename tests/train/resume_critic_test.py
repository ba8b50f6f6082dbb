"""A tokenizer with a critic and a teacher goes on from a checkpoint with the same bits, both optimizers' included."""

import json
import shutil

import jax
import numpy as np
import pytest

from unified_jax.models.pretrained import build_component, save_pretrained
from unified_jax.train import loop
from unified_jax.train.experiment import Experiment
from unified_jax.train.loop import train

TEACHER = {
    "model_type": "dinov2",
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """The folder of a tiny encoder with weights of chance."""
    folder, rng = tmp_path_factory.mktemp("teacher"), np.random.default_rng(0)
    component = build_component(TEACHER)
    draw = lambda x: np.asarray(0.1 * rng.normal(size=x.shape), x.dtype)
    save_pretrained(folder, component, jax.tree.map(draw, component.shapes()))
    return folder


@pytest.fixture
def compiled_once(monkeypatch):
    """The second run takes the compiled step of the first; where it goes on, it reads the state from its checkpoint."""
    start, made = loop._start, []
    monkeypatch.setattr(loop, "_start", lambda *given: made[0] if made else made.append(start(*given)) or made[0])


def records(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    timed = ("seconds", "slots_per_second", "seconds_per_step", "mfu", "peak_flops")
    return [{k: x for k, x in json.loads(line).items() if k not in timed} for line in lines]


def test_a_run_with_a_critic_and_a_teacher_goes_on_with_identical_bits(teacher, compiled_once, tmp_path):
    """What a kill behind step 2 leaves is that step's checkpoint; real kills are in ``resume_test.py``."""
    values = ["steps=4", "save_every=2", "keep=5", f"teacher.folder={teacher}"]
    experiment = Experiment.load("configs/tokenizer/adversarial.py:debug", values)
    whole = train(experiment, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed/checkpoints/4")
    again = train(experiment, tmp_path / "killed")
    jax.tree.map(np.testing.assert_array_equal, (whole.params, whole.ema), (again.params, again.ema))
    found = records(tmp_path / "whole")
    assert records(tmp_path / "killed") == found and [x["step"] for x in found] == [1, 2, 3, 4]
    assert all(np.isfinite(x["loss/teacher"]) and np.isfinite(x["loss/image"]) for x in found)
    frozen = whole.params["judges_teacher"]["network"]
    given = experiment.given(whole.model)["judges_teacher"]["network"]
    jax.tree.map(np.testing.assert_array_equal, frozen, given)
