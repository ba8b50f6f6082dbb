"""Low-rank adapters: in every dense layer, expert and lane, what they add is what merging adds, gradients included."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, Stream, pack
from unified_jax.models.lora import Adapted, Lora, load_lora, matrices
from unified_jax.models.model import Model
from unified_jax.models.pretrained import parameters
from unified_jax.models.transfusion import transfusion
from unified_jax.nn.block import Block
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.moe import Moe

EVERYWHERE = r"(?!codec/).*/kernel"


@dataclasses.dataclass(frozen=True)
class Setting:
    model: Any
    base: Any
    lora: Lora
    adapters: Any
    seq: Any
    run: Any  # (base, adapters) -> outputs and gradients in both ways


def two_lanes(tokenizer: Any) -> Model:
    """A mixture of transformers whose words have experts and whose pictures have none."""
    model = transfusion(tokenizer, width=16, depth=2, num_heads=2, hidden=12, patch=4, image_size=(8, 8))
    mlp = {"main": partial(Moe, 3, 2, 12), "picture": partial(GatedMlp, 12)}
    block = partial(Block, **{**model.backbone.block.keywords, "mlp": mlp, "route": {lane: lane for lane in mlp}})
    streams = {"text": Stream("main"), "image": dataclasses.replace(model.family.streams["image"], lane="picture")}
    smallest = Layout({"main": 1, "picture": 1}, {"text": 1, "image": 1})
    return model.clone(
        lane={"text": "main", "image": "picture"},
        width=dict.fromkeys(mlp, 16),
        backbone=model.backbone.clone(block=block),
        family=dataclasses.replace(model.family, streams=streams, smallest=smallest),
    )


@pytest.fixture(scope="module")
def setting(tokenizer) -> Setting:
    model = two_lanes(tokenizer)
    base = jax.jit(partial(parameters, model))(jax.random.key(0))
    base["heads_image"] = jax.tree.map(lambda x: x + 0.1, base["heads_image"])  # from zero, nothing behind it matters
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    spans = model.plan(Document([Image(picture), Text("red"), Image(picture, target=True)]))
    seq = pack([[spans]], model.family.streams, Layout({"main": 12, "picture": 8}, {"text": 12, "image": 8}))
    lora = Lora(EVERYWHERE, rank=2, alpha=3.0)
    drawn = lora.draw(jax.random.key(1), base, model=model)
    moved = jax.tree.map(lambda x: x + 0.1 * jax.random.normal(jax.random.key(x.size), x.shape), drawn)

    def loss(apply, adapters):
        out = apply(adapters)
        return sum(jnp.square(x).mean() for x in out.values()), out

    @jax.jit
    def run(base, adapters):
        beside = lambda adapters: Adapted(model, lora).apply({"params": adapters, "base": base}, seq, method="predict")
        merged = lambda adapters: model.apply({"params": lora.merge(base, adapters)}, seq, method="predict")
        gradient = lambda apply: jax.value_and_grad(partial(loss, apply), has_aux=True)(adapters)
        return gradient(beside), gradient(merged)

    return Setting(model, base, lora, moved, seq, run)


def close(a: Any, b: Any) -> None:
    for (path, x), y in zip(jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b)):
        np.testing.assert_allclose(x, y, rtol=0, atol=2e-5 * max(float(jnp.abs(y).max()), 1e-3), err_msg=str(path))


def test_beside_a_layer_is_as_merged_into_it(setting):
    ((_, beside), grads), ((_, merged), wanted) = setting.run(setting.base, setting.adapters)
    close(beside, merged)
    close(grads, wanted)
    assert all(jnp.any(pair["b"]) for pair in grads["low_rank"].values())


def test_fresh_adapters_change_nothing(setting):
    fresh = setting.lora.draw(jax.random.key(1), setting.base, model=setting.model)
    ((_, beside), _), ((_, merged), _) = setting.run(setting.base, fresh)
    ((_, moved), _), _ = setting.run(setting.base, setting.adapters)
    for name in beside:
        np.testing.assert_array_equal(beside[name], merged[name])
        assert not np.allclose(beside[name], moved[name], atol=1e-3)


def test_every_kernel_of_the_network_is_known_by_its_axes(setting):
    flat = flatten_dict(dict(setting.base), sep="/")
    known = matrices(setting.model)
    kernels = {path for path in flat if path.endswith("/kernel") and not path.startswith("codec/")}
    assert kernels - set(known) == {"backbone/layer/mlp_main/router/kernel"}  # which chooses, and computes nothing
    experts = setting.adapters["low_rank"]["backbone/layer/mlp_main/experts/up/kernel"]
    assert experts["a"].shape == (2, 3, 16, 2) and experts["b"].shape == (2, 3, 2, 12)
    heads = flat["backbone/layer/q_main/kernel"].shape  # [L D H C]
    pair = setting.adapters["low_rank"]["backbone/layer/q_main/kernel"]
    assert pair["a"].shape == (*heads[:2], 2) and pair["b"].shape == (heads[0], 2, *heads[2:])


def test_a_pattern_chooses_a_lane_and_parameters_are_trained_whole(setting):
    lora = Lora(r"backbone/layer/.*_main(/.*)?/kernel", rank=1, whole=r"heads_.*")
    drawn = lora.draw(jax.random.key(0), setting.base, model=setting.model)
    assert drawn["low_rank"] and all("_main" in path for path in drawn["low_rank"])
    assert drawn["whole"] and all(path.startswith("heads_") for path in drawn["whole"])
    other = {**drawn, "whole": jax.tree.map(lambda x: x + 1, drawn["whole"])}
    merged, base = (flatten_dict(dict(tree), sep="/") for tree in (lora.merge(setting.base, other), setting.base))
    changed = {path for path in base if not np.array_equal(merged[path], base[path])}
    assert changed == set(drawn["whole"])


def test_adapters_alone_are_written_and_read(setting, tmp_path):
    setting.lora.save(tmp_path, setting.adapters)
    found = load_lora(tmp_path, setting.model, setting.base)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(setting.lora.merge(setting.base, setting.adapters))):
        np.testing.assert_array_equal(x, y)
    (tmp_path / "lora.json").write_text('{"pattern": "backbone/.*q_main/kernel", "rank": 2}')
    with pytest.raises(ValueError, match="adapters.safetensors: does not fit this model: unexpected"):
        load_lora(tmp_path, setting.model, setting.base)
    with pytest.raises(FileNotFoundError, match="not a folder of adapters"):
        load_lora(tmp_path / "none", setting.model, setting.base)


def test_a_pattern_that_names_nothing_is_refused(setting):
    with pytest.raises(ValueError, match="lora.pattern 'q_proj' names nothing; there are backbone/"):
        Lora("q_proj").draw(jax.random.key(0), setting.base, model=setting.model)
    with pytest.raises(ValueError, match="lora.rank must be 1 or more, found 0"):
        Lora(rank=0)
