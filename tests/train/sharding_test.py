"""Every parameter of every config has a row of the sharding table, and meshes are checked."""

import re
from pathlib import Path

import jax
import pytest
from jax.sharding import PartitionSpec

from unified_jax.core.paths import path_name
from unified_jax.models.pretrained import parameters
from unified_jax.train.experiment import Experiment
from unified_jax.train.sharding import RULES, make_mesh, shardings, spec

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(
    f"{path.relative_to(ROOT)}:debug"
    for path in (ROOT / "configs").rglob("*.py")
    if "def get_config" in path.read_text()
)


def test_meshes():
    mesh = make_mesh({"data": -1, "tensor": 2})
    assert dict(zip(mesh.axis_names, mesh.devices.shape)) == dict(data=4, fsdp=1, expert=1, tensor=2)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"data": 3}, "does not divide the 8 devices"),
        ({"data": -1, "fsdp": -1}, "does not divide"),
        ({"data": 2}, "uses 2 of the 8 devices"),
        ({"model": 8}, "unknown mesh axis 'model'"),
    ],
)
def test_impossible_meshes_are_named(shape, words):
    with pytest.raises(ValueError, match=words):
        make_mesh(shape)


def test_specs_are_aligned_to_the_right_and_drop_axes_that_do_not_divide():
    mesh = make_mesh({"fsdp": 4, "tensor": 2})
    name = "backbone/layer/q_main/kernel"
    assert spec(name, (5, 16, 6, 3), mesh) == PartitionSpec(None, "fsdp", "tensor", None)
    assert spec(name, (16, 7, 3), mesh) == PartitionSpec("fsdp", None, None)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_parameter_has_a_row(config):
    experiment = Experiment.load(config)
    model = experiment.model(experiment.tokenizer())
    tree = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    for path, _ in jax.tree_util.tree_leaves_with_path(tree):
        name = path_name(path)
        rows = [pattern for pattern, _ in RULES if re.fullmatch(pattern, name)]
        assert rows, f"no sharding rule for {name}"
    placed = jax.tree.leaves(shardings(tree, make_mesh({"fsdp": 4, "tensor": 2})))
    assert any(s.spec != PartitionSpec() for s in placed)
