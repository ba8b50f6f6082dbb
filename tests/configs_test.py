"""Every config says how it is run, builds, and trains its debug variant with finite losses."""

import json
from pathlib import Path

import numpy as np
import pytest

from unified_jax.train.experiment import Experiment
from unified_jax.train.loop import train

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.py") if "def get_config" in path.read_text()
)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_docstring_holds_the_command(config):
    assert f"--config {config}" in Experiment.load(config).module.__doc__


@pytest.mark.parametrize("config", CONFIGS)
def test_an_unknown_variant_is_named(config):
    with pytest.raises(ValueError, match="unknown variant 'huge'"):
        Experiment.load(f"{config}:huge")


@pytest.mark.parametrize("config", CONFIGS)
def test_the_debug_variant_trains(config, tmp_path):
    experiment = Experiment.load(f"{config}:debug", ["steps=2", "log_every=1"])
    trained = train(experiment, tmp_path)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert trained.steps == 2 and len(losses) == 2 and np.isfinite(losses).all()
