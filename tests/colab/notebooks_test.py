"""Every notebook runs from top to bottom with small parameters, and shows its pictures."""

import ast
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from unified_jax.models.pretrained import parameters, save_pretrained
from unified_jax.train.experiment import Experiment

FOLDER = Path(__file__).parents[2] / "colab"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def tagged(notebook: nbformat.NotebookNode) -> int:
    """Where the one cell of parameters is."""
    (index,) = (i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ()))
    return index


@pytest.fixture(scope="module")
def client() -> NotebookClient:
    """Its one kernel serves all notebooks, since importing the library takes longer than most cells."""
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=900)
    yield client
    client.nb = nbformat.v4.new_notebook()
    client.execute()  # which ends the kernel


@pytest.fixture
def run(client):
    """run(name, parameters) executes a notebook with other parameters, and counts the pictures it shows."""
    flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=1"
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # the last as in conftest.py

    def execute(name: str, parameters: Mapping[str, Any]) -> int:
        notebook = read(name)
        at = tagged(notebook)
        there = {node.targets[0].id for node in ast.parse(notebook.cells[at].source).body}
        assert set(parameters) <= there
        new = nbformat.v4.new_code_cell
        notebook.cells.insert(at + 1, new("\n".join(f"{name} = {value!r}" for name, value in parameters.items())))
        notebook.cells.insert(0, new(f"%reset -f\n%cd -q {FOLDER}"))  # no name of another notebook, and where it lies
        client.nb = notebook
        client.execute(cleanup_kc=False, env=env)
        outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
        return sum("image/png" in output.get("data", {}) for output in outputs)

    return execute


@pytest.fixture
def published(tmp_path, tokenizer) -> Path:
    """A small Janus with parameters of chance, in the published layout."""
    model = Experiment.load("configs/janus.py:debug").model(tokenizer)
    draw = partial(np.random.default_rng(0).normal, 0.0, 0.1)
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    save_pretrained(tmp_path, model, jax.tree.map(lambda x: jnp.asarray(draw(x.shape), x.dtype), shapes))
    return tmp_path


def test_quickstart_trains_draws_describes_and_edits(run):
    assert run("quickstart", {"CONFIG": "configs/demo.py:debug", "MINUTES": 0.0, "STEPS": 2}) == 4 + 1 + 3 + 3 + 3


def test_published_reads_and_draws(run, published):
    assert run("published", {"CHECKPOINT": str(published), "DTYPE": "float32", "MAX_TOKENS": 4}) == 3


def test_new_family_trains_draws_and_describes(run):
    assert run("new_family", {"VARIANT": "debug", "MINUTES": 0.0, "STEPS": 2}) == 1 + 1 + 2


def test_finetune_shows_before_and_after_and_reads_its_adapters_back(run):
    assert run("finetune", {"CHECKPOINT": "configs/finetune/example/model", "STEPS": 4}) == 2 + 1 + 2


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_is_committed_is_valid_and_was_not_run(name):
    notebook, quickstart = read(name), read("quickstart")
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert code[0].source == next(cell.source for cell in quickstart.cells if cell.cell_type == "code")
    assert code[1] is notebook.cells[tagged(notebook)]
