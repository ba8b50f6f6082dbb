"""Every config says how it is run, builds, and trains its debug variant with finite losses."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.data.document import Text
from unified_jax.data.pack import Layout, pack
from unified_jax.evals.benchmark import run
from unified_jax.objectives.total import losses
from unified_jax.train.experiment import Experiment, init
from unified_jax.train.loop import train

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.py") if "def get_config" in path.read_text()
)
# Those of published systems train in published_configs_test.py, those in smollm2/ in smollm2_configs_test.py.
OWN = [
    config
    for config in CONFIGS
    if "PUBLISHED = " not in (ROOT / config).read_text() and not config.startswith("configs/smollm2/")
]


@pytest.mark.parametrize("config", CONFIGS)
def test_the_docstring_holds_the_command(config):
    assert f"--config {config}" in Experiment.load(config).module.__doc__


@pytest.mark.parametrize("config", CONFIGS)
def test_an_unknown_variant_is_named(config):
    with pytest.raises(ValueError, match="unknown variant 'huge'"):
        Experiment.load(f"{config}:huge")


@pytest.mark.parametrize("config", OWN)
def test_the_debug_variant_trains(config, tmp_path):
    experiment = Experiment.load(f"{config}:debug", ["steps=2", "log_every=1"])
    trained = train(experiment, tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert trained.steps == 2 and len(losses) == 2 and np.isfinite(losses).all()


@pytest.mark.parametrize("config", ["configs/demo.py", "configs/chameleon/shapes.py"])
def test_it_trains_and_generates_in_bfloat16(config, tmp_path):
    experiment = Experiment.load(f"{config}:debug", ["steps=2", "model.dtype=bfloat16", "test_size=1"])
    trained = train(experiment, tmp_path)
    assert {x.dtype for x in jax.tree.leaves(trained.params)} == {jnp.dtype("float32")}
    for benchmark in experiment.benchmarks()[:2]:
        assert run(benchmark, trained.model, trained.ema, limit=1).score.n == 1


def test_a_layout_may_be_for_text_alone(tmp_path):
    experiment = Experiment.load("configs/demo.py:debug", ["steps=1"])
    with experiment.config.unlocked():
        experiment.config.packing.layouts = ({"lanes": {"main": 64}, "streams": {"text": 64}},)
        experiment.config.tasks = {"caption/1": 1.0}
    with pytest.raises(ValueError, match="no layout of packing.layouts has room for stream 'image'"):
        train(experiment, tmp_path / "none")
    with experiment.config.unlocked():
        experiment.config.packing.layouts += ({"lanes": {"main": 96}, "streams": {"text": 76, "image": 54}},)
    train(experiment, tmp_path / "both")
    line = json.loads((tmp_path / "both" / "metrics.jsonl").read_text().splitlines()[-1])
    assert np.isfinite(line["loss"])


def test_a_row_of_text_alone_has_a_loss():
    experiment = Experiment.load("configs/demo.py:debug")
    model, params = init(experiment, jax.random.key(0))
    spans = model.plan([Text("red", target=True)])
    seq = pack([[spans]], model.family.streams, Layout({"main": 8}, {"text": 8, "image": 0}))
    predict = lambda shown: model.apply({"params": params}, shown, method="predict")
    parts = losses(predict, experiment.objectives(), jax.random.key(1), jax.tree.map(jnp.asarray, seq))
    assert float(parts["text"].total) > 0 and float(parts["image"].total) == 0 == float(parts["image"].count)
