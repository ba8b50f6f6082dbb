"""Systems that start from a language model: it stays as it is, what is added begins as said, what is saved reopens."""

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from configs.smollm2 import language
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.evals.benchmark import run
from unified_jax.models.pretrained import from_pretrained, open_pretrained, parameters, save_pretrained
from unified_jax.train.begin import begin
from unified_jax.train.experiment import Experiment
from unified_jax.train.loop import Trained, train
from unified_jax.train.sharding import make_mesh


@dataclasses.dataclass(frozen=True)
class Run:
    experiment: Experiment
    trained: Trained
    folder: Path  # of what was saved


def trained(config: str, workdir: Path) -> Run:
    experiment = Experiment.load(f"{config}:debug", ["steps=2", "optimizer.learning_rate=0.01"])
    found = train(experiment, workdir)
    losses = [json.loads(line)["loss"] for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 2 and np.isfinite(losses).all()
    save_pretrained(workdir / "model", found.model, found.params)
    return Run(experiment, found, workdir / "model")


@pytest.fixture(scope="module")
def aligned(tmp_path_factory) -> Run:
    return trained("configs/smollm2/align.py", tmp_path_factory.mktemp("align"))


def flat(tree: Any) -> dict[str, np.ndarray]:
    return {path: np.asarray(x) for path, x in flatten_dict(dict(tree), sep="/").items()}


def same(a: Any, b: Any) -> None:
    a, b = flat(a), flat(b)
    assert set(a) == set(b)
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def changed(run: Run) -> set[str]:
    """What training made of the parameters that the language model brought."""
    before, after = flat(run.experiment.given(run.trained.model)), flat(run.trained.params)
    return {path for path in before if not np.array_equal(before[path], after[path])}


def costs(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """What each plain sentence costs after training, and before."""
    kept = [benchmark for benchmark in run.experiment.benchmarks() if benchmark.name.startswith("plain_nats")]
    now, before = (from_run.correct for from_run in (evaluate(run, benchmark) for benchmark in kept))
    return np.asarray(now), np.asarray(before)


def evaluate(run_: Run, benchmark: Any) -> Any:
    return run(benchmark, run_.trained.model, run_.trained.params)


def test_a_language_model_that_is_taught_to_see_forgets_nothing(aligned):
    assert not changed(aligned)
    now, before = costs(aligned)
    np.testing.assert_array_equal(now, before)
    assert len(now) == 24 and np.ptp(now) > 0
