"""The trained parameters in experiments/emoji do what its page says, through the public functions alone."""

import json
import re
from pathlib import Path

import jax
import pytest

import unified_jax as uj
from unified_jax.data.sources.emoji import Emoji
from unified_jax.evals.benchmark import run
from unified_jax.evals.emoji import benchmarks, nearest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "experiments" / "emoji"


@pytest.fixture(scope="module")
def trained():
    return uj.from_pretrained(FOLDER / "model")


@pytest.fixture(scope="module")
def source():
    return json.loads((FOLDER / "config.json").read_text())["source"]


def shown(source, task, n, split="train"):
    documents = Emoji(**{**source, "split": split, "tasks": {task: 1.0}, "seed": 1})
    return [documents[i] for i in range(n)]


def test_swapping_the_picture_changes_the_name(trained, source):
    documents = shown(source, "caption", 8)
    written = uj.generate_batch(*trained, [document.prompt() for document in documents])
    names = [document.targets[0].text for document in written]
    assert len(set(names)) == 8
    assert sum(name == truth.targets[0].text for name, truth in zip(names, documents)) >= 4


def test_swapping_the_name_changes_the_picture(trained, source):
    documents = shown(source, "draw", 8)
    drawn = uj.generate_batch(*trained, [document.prompt() for document in documents], rng=jax.random.key(0))
    pictures = [document.targets[0] for document in drawn]
    grade = nearest(source["resolution"])
    own = sum(grade(truth, picture) for truth, picture in zip(documents, pictures))
    swapped = sum(grade(truth, picture) for truth, picture in zip(documents, pictures[1:] + pictures[:1]))
    assert own >= 4 and swapped == 0


def test_the_scores_are_those_of_these_parameters(trained, source):
    """On the first documents of each benchmark; the interval is that of the whole."""
    config = json.loads((FOLDER / "config.json").read_text())
    scores = json.loads((FOLDER / "metrics.json").read_text())
    for benchmark in benchmarks(source, n=16, drawing=config["drawing"]):
        found, published = run(benchmark, *trained).score, scores[benchmark.name]
        assert found.low <= published["high"] and published["low"] <= found.high, benchmark.name


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(import jax\n.*?)```", readme, re.S)
    monkeypatch.chdir(ROOT)
    values = {}
    exec(example.replace('"copy"', repr(str(tmp_path / "copy"))), values)
    assert values["picture"].pixels.shape == (32, 32, 3) and values["caption"]
    assert (tmp_path / "copy" / "model.safetensors").is_file()
