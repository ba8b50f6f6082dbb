"""A published folder tuned by adapters on five pictures: it learns, goes on exactly, is written merged and apart."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import numpy as np
import PIL.Image
import pytest
from families import CASES
from flax.traverse_util import flatten_dict
from words import picture, words

from unified_jax.models.lora import load_lora
from unified_jax.models.pretrained import from_pretrained, save_pretrained
from unified_jax.train.experiment import Experiment
from unified_jax.train.loop import Trained, restore, train

LLAVA = next(case for case in CASES if case.name == "llava")
STEPS, SAVED = 8, 4
WHOLE = ("embed_vision/connector/", "heads_text/")


@dataclasses.dataclass(frozen=True)
class Run:
    folder: Path  # of the checkpoint
    workdir: Path
    experiment: Experiment
    trained: Trained


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder, here = tmp_path_factory.mktemp("llava"), tmp_path_factory.mktemp("documents")
    LLAVA.save(folder, LLAVA.model().eval(), LLAVA.processor())
    lines = []
    for i in range(5):
        PIL.Image.fromarray(picture(i, 40, 36)).save(here / f"{i}.png")
        answer = {"text": words(i, 4), "target": True}
        lines.append(json.dumps({"parts": [{"image": f"{i}.png"}, {"text": "w1 w2"}, answer]}))
    (here / "mine.jsonl").write_text("\n".join(lines))
    values = {
        "checkpoint": folder,
        "documents": here / "mine.jsonl",
        "lora.rank": 4,
        "lora.whole": f"({'|'.join(WHOLE)}).*",
        "optimizer.learning_rate": 0.03,
        "optimizer.warmup": 0,
        "packing.rows": 8,
        "packing.documents": 1,
        "steps": STEPS,
        "save_every": SAVED,
        "log_every": 1,
    }
    experiment = Experiment.load("configs/finetune/documents.py:lora", [f"{k}={v}" for k, v in values.items()])
    return Run(folder, here / "run", experiment, train(experiment, here / "run"))


def losses(workdir: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def flat(params: Any) -> dict[str, np.ndarray]:
    return {path: np.asarray(x) for path, x in flatten_dict(dict(params), sep="/").items()}


def same(a: Any, b: Any) -> None:
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(x, y, err_msg=str(path))


def test_it_learns_and_only_what_is_named_changes(run):
    found = losses(run.workdir)
    assert len(found) == STEPS and found[-1] < 0.8 * found[0]
    before, after = flat(from_pretrained(run.folder)[1]), flat(run.trained.params)
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    named = {p for p in before if p.startswith("backbone/layer/") and p.endswith("kernel") or p.startswith(WHOLE)}
    assert changed == named


def test_it_goes_on_exactly(run, tmp_path):
    workdir = tmp_path / "again"
    shutil.copytree(run.workdir, workdir)
    shutil.rmtree(workdir / "checkpoints" / str(STEPS))
    again = train(run.experiment, workdir)
    assert losses(workdir) == losses(run.workdir)
    same(again.params, run.trained.params)
    same(again.ema, run.trained.ema)


def test_what_is_saved_and_kept_is_the_adapters(run, tmp_path):
    size = lambda tree: sum(x.size for x in jax.tree.leaves(tree))
    assert set(run.trained.learned) == {"low_rank", "whole"} and size(run.trained.learned) < size(run.trained.params)
    same(restore(run.experiment, run.workdir).ema, run.trained.ema)
    run.experiment.lora().save(tmp_path / "adapters", run.trained.learned)
    model, base = from_pretrained(run.folder)
    same(load_lora(tmp_path / "adapters", model, base), run.trained.ema)
    save_pretrained(tmp_path / "merged", run.trained.model, run.trained.ema)
    same(from_pretrained(tmp_path / "merged")[1], run.trained.ema)
