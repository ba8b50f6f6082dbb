"""Judges beside an autoencoder: who learns from what, what is kept up, and what is saved."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import common
from unified_jax.core.paths import path_name
from unified_jax.data.document import Document, Image
from unified_jax.data.pack import Layout, pack
from unified_jax.models import judges
from unified_jax.models.perceptual.packaged import packaged
from unified_jax.models.pretrained import build_component, from_pretrained, parameters, save_pretrained
from unified_jax.models.vq import vq
from unified_jax.nn.critic import PatchCritic
from unified_jax.nn.grid_features import GridFeatures
from unified_jax.objectives.adversarial import Fool, Tell
from unified_jax.objectives.distil import Distil
from unified_jax.objectives.judged import Judged
from unified_jax.objectives.reconstruct import Reconstruct
from unified_jax.objectives.total import losses
from unified_jax.train.optim import optimizer
from unified_jax.train.state import create
from unified_jax.train.step import train_step

SIDE = 32
VIT = dict(model_type="dinov2", hidden_size=16, num_hidden_layers=2, num_attention_heads=2, patch_size=4, image_size=16)
OBJECTIVES = {
    "image": Reconstruct("image"),
    "st-lpips-alex": Judged("image", reads="st-lpips-alex"),
    "fool": Fool("image"),
    "tell": Tell("image", slope=0.1, usual=0.1),
    "teacher": Distil("image", near=0.0, apart=0.0),
}


@pytest.fixture(scope="module")
def model(tokenizer):
    code = dict(kind="nearest", size=16, width=4)
    plain = vq(tokenizer, codec=dict(patch=4, width=8, multipliers=(1, 2), depth=1, code=code), image_size=(SIDE, SIDE))
    encoder = build_component(VIT).module
    return plain.clone(
        judges={
            "st-lpips-alex": judges.Perceptual(packaged("st-lpips-alex").module),
            "critic": judges.Critic(PatchCritic(8, depth=2, groups=4)),
            "teacher": judges.Teacher(GridFeatures(encoder, plain.grid, layer=-1)),
        }
    )


@pytest.fixture(scope="module")
def params(model):
    return jax.jit(partial(parameters, model))(jax.random.key(0))


@pytest.fixture(scope="module")
def seq(model):
    rng = np.random.default_rng(0)
    documents = [Document([Image(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8), target=True)]) for _ in range(2)]
    entries = model.grid[0] * model.grid[1]
    packed = pack(
        [[model.plan(d)] for d in documents], model.family.streams, Layout({"main": entries}, {"image": entries})
    )
    return jax.tree.map(jnp.asarray, packed)


def values(model, params, seq) -> dict:
    """Every objective's loss."""
    predict = lambda shown: model.apply({"params": params}, shown, method="predict")
    found = losses(predict, tuple(OBJECTIVES.values()), jax.random.key(0), seq)
    return {name: sums.total / sums.count for name, sums in found.items()}


@pytest.fixture(scope="module")
def moved(model, params, seq):
    """For every objective, the parameters that its gradient moves."""
    slopes = jax.jit(jax.jacrev(lambda p: values(model, p, seq)))(params)
    return {
        name: {path_name(path) for path, x in jax.tree_util.tree_leaves_with_path(tree) if jnp.any(x)}
        for name, tree in slopes.items()
    }


def starts(names: set[str], *prefixes: str) -> bool:
    return all(name.startswith(prefixes) for name in names)


def test_every_objective_moves_those_it_is_for_and_nobody_else(moved):
    assert moved["image"] and starts(moved["image"], "codec/")
    assert "codec/encoder/in/kernel" in moved["fool"] and starts(moved["fool"], "codec/")
    assert "codec/encoder/in/kernel" in moved["st-lpips-alex"] and starts(moved["st-lpips-alex"], "codec/")
    assert "judges_critic/network/conv_0/kernel" in moved["tell"] and starts(moved["tell"], "judges_critic/")
    assert "judges_critic/usual" in moved["tell"]
    teacher = moved["teacher"]
    assert "judges_teacher/project/kernel" in teacher and starts(teacher, "judges_teacher/project/", "codec/")
    assert not [name for name in teacher if name.startswith("codec/decoder/")]


def test_the_verdict_says_what_it_means(model, params, seq):
    verdict = jax.jit(lambda: model.apply({"params": params}, seq, method="predict")["critic"])()
    np.testing.assert_array_equal(verdict.made, verdict.fooled)
    network, weights = PatchCritic(8, depth=2, groups=4), {"params": params["judges_critic"]["network"]}
    pixels = model.family.codec.decode({}, seq.streams["image"].values.reshape(2, *model.grid, -1))
    score = jax.jit(lambda x: network.apply(weights, x))
    np.testing.assert_allclose(verdict.real, score(pixels), rtol=1e-4, atol=1e-6)
    ahead = jax.random.normal(jax.random.key(1), pixels.shape)
    ahead = ahead / jnp.sqrt(jnp.square(ahead).sum((1, 2, 3), keepdims=True))
    difference = (score(pixels + 1e-2 * ahead) - score(pixels - 1e-2 * ahead)).sum((1, 2)) / 2e-2
    slope = jax.jit(jax.grad(lambda x: network.apply(weights, x).sum()))(pixels)
    np.testing.assert_allclose((slope * ahead).sum((1, 2, 3)), difference, rtol=0.05, atol=1e-3)
    np.testing.assert_allclose(verdict.slope, jnp.square(slope).sum((1, 2, 3)), rtol=1e-4)


@pytest.fixture(scope="module")
def trained(model, params, seq):
    """Two steps of the whole: the critic begins at the second."""
    c = common.adamw(1e-3)
    c.critic = common.adamw(1e-3)
    c.freeze, c.averaged = "judges_(st-lpips-alex|teacher)/network/.*", "judges_critic/usual"
    tx = optimizer(c)
    layer = "codec/decoder/out/kernel"
    objectives = (OBJECTIVES["image"], OBJECTIVES["st-lpips-alex"], Fool("image", start=1, layer=layer))
    objectives += (Tell("image", usual=0.1, start=1),)
    step = jax.jit(partial(train_step, model=model, objectives=objectives, tx=tx, ema_decay=0.9))
    states, metrics = [create(params, tx)], []
    for _ in range(2):
        state, told = step(states[-1], jax.tree.map(lambda x: x[None], seq), jax.random.key(0))
        states.append(state)
        metrics.append(told)
    return states, metrics


def changed(before, after) -> set[str]:
    differ = jax.tree.map(lambda x, y: bool(jnp.any(x != y)), before, after)
    return {path_name(path).split("/")[0] for path, x in jax.tree_util.tree_leaves_with_path(differ) if x}


def test_the_critic_begins_at_its_start_and_what_is_fixed_stays(trained, model, seq):
    states, metrics = trained
    assert changed(states[0].params, states[1].params) == {"codec"}
    assert changed(states[1].params, states[2].params) == {"codec", "judges_critic"}
    assert float(metrics[0]["scale/fool"]) == 0 < float(metrics[1]["scale/fool"])
    assert {"loss/fool", "loss/tell", "loss/st-lpips-alex", "loss/image"} <= set(metrics[1])
    assert metrics[1]["codes"].shape == (1, 16) and float(metrics[1]["codes"].sum()) == 2 * 16
    verdict = model.apply({"params": states[1].params}, seq, method="predict")["critic"]
    usual = 0.01 * np.array([verdict.real.mean(), verdict.made.mean()])
    np.testing.assert_allclose(states[2].params["judges_critic"]["usual"], usual, rtol=1e-3, atol=1e-6)


def test_the_folder_holds_the_codec_alone(model, params, tmp_path):
    save_pretrained(tmp_path, model, params)
    again, read = from_pretrained(tmp_path)
    assert set(read) == {"codec"} and not again.judges and again.codec == model.codec


def test_a_teacher_on_another_grid_is_refused(model, params):
    made = judges.Made(jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 3, 3, 4)))
    teacher = judges.Teacher(GridFeatures(build_component(VIT).module, (4, 4), layer=-1))
    with pytest.raises(ValueError, match=r"grid must be that of the latents \(1, 3, 3, 4\)"):
        jax.eval_shape(teacher.init, jax.random.key(0), made.pixels, made)


def test_pictures_too_small_for_a_critic_are_refused():
    with pytest.raises(ValueError, match="pictures of 8x4 cannot be halved 3 times"):
        jax.eval_shape(PatchCritic().init, jax.random.key(0), jnp.zeros((1, 4, 8, 3)))
