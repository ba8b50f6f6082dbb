"""A run killed at any moment and started again ends with the same bits; more devices give the same losses."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
TRAIN = """
import sys
from unified_jax.train.experiment import Experiment
from unified_jax.models.pretrained import save_pretrained
from unified_jax.train.loop import train
experiment = Experiment.load("configs/demo.py:debug", sys.argv[2:])
trained = train(experiment, sys.argv[1])
save_pretrained(sys.argv[1] + "/model", trained.model, trained.params)
"""


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts a training process; compiled programs are shared among them."""
    cache = tmp_path_factory.mktemp("compiled")

    def run(workdir: Path, *overrides: str, devices: int = 1) -> subprocess.Popen:
        environment = os.environ | {
            "XLA_FLAGS": os.environ["XLA_FLAGS"] + f" --xla_force_host_platform_device_count={devices}",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
            "JAX_COMPILATION_CACHE_DIR": str(cache),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-c", TRAIN, str(workdir), *overrides]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)

    return run


def finish(process: subprocess.Popen) -> None:
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-2000:]


def records(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_killed_run_ends_with_identical_bits(start, tmp_path):
    values = ("steps=30", "save_every=3", "packing.rows=4")
    finish(start(tmp_path / "whole", *values))
    killed, kills, rng = tmp_path / "killed", 0, np.random.default_rng(0)
    while kills < 3:
        process = start(killed, *values)
        before = len(records(killed)) if (killed / "metrics.jsonl").exists() else 0
        # Wait until this process has trained a little, then kill it somewhere in the following steps or saves.
        while process.poll() is None:
            lines = (killed / "metrics.jsonl").read_text().count("\n") if (killed / "metrics.jsonl").exists() else 0
            if lines > before - 4 and lines >= 4 * (kills + 1):
                time.sleep(float(rng.uniform(0, 0.3)))
                break
            time.sleep(0.01)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    assert kills, "the run finished before it could be killed"
    finish(start(killed, *values))
    model = "model/model.safetensors"
    assert (tmp_path / "whole" / model).read_bytes() == (killed / model).read_bytes()
    whole, again = records(tmp_path / "whole"), records(killed)
    assert [r["step"] for r in again] == [r["step"] for r in whole] == list(range(1, 31))
    assert [r["loss"] for r in again] == [r["loss"] for r in whole]


def test_eight_devices_reach_the_losses_of_one(start, tmp_path):
    values = ("steps=4", "packing.rows=8")
    finish(start(tmp_path / "one", *values))
    finish(start(tmp_path / "eight", *values, "mesh={'data': 2, 'fsdp': 2, 'tensor': 2}", devices=8))
    one, eight = ([r["loss"] for r in records(tmp_path / name)] for name in ("one", "eight"))
    np.testing.assert_allclose(one, eight, rtol=2e-4)
