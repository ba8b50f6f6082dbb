"""A family with learned experts: configs reach them, routers are balanced, and a mesh computes the same."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.models.pretrained import parameters
from unified_jax.models.transfusion import PATH, transfusion
from unified_jax.objectives.balance import Balance
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.next_token import NextToken
from unified_jax.train import sharding
from unified_jax.train.state import create
from unified_jax.train.step import train_step

OBJECTIVES = NextToken("text"), Flow("image", path=PATH)
EXPERTS = {"num_experts": 4, "top_k": 2}


@pytest.fixture(scope="module")
def system(tokenizer):
    options = dict(width=16, depth=2, num_heads=2, hidden=24, patch=4, image_size=(8, 8), experts=EXPERTS)
    model = transfusion(tokenizer, **options)
    picture = lambda seed: np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    documents = [Document([Text("red circle"), Image(picture(i), target=True)]) for i in range(8)]
    layout = Layout({"main": 24}, {"text": 16, "image": 8})
    return model, pack([[model.family.plan(d)] for d in documents], model.family.streams, layout)


def step(model, params, seq, balance=Balance(), mesh=None):
    """The state and metrics after one update, on one device or on a mesh."""
    tx = optax.sgd(1.0)
    run = partial(train_step, model=model, objectives=OBJECTIVES, tx=tx, balance=balance, ema_decay=0.9)
    state = create(params, tx)
    if mesh is None:
        return jax.jit(run)(state, jax.tree.map(lambda x: jnp.asarray(x)[None], seq), jax.random.key(1))
    state = jax.device_put(state, sharding.shardings(state, mesh))
    with jax.set_mesh(mesh):
        batch = sharding.put_batch(seq, sharding.batch_sharding(mesh), 1)
        return jax.jit(run)(state, batch, jax.random.key(1))


@pytest.fixture(scope="module")
def params(system):
    return jax.jit(partial(parameters, system[0]))(jax.random.key(0))


@pytest.fixture(scope="module")
def plain(system, params):
    model, seq = system
    return step(model, params, seq)


def test_every_parameter_of_router_and_experts_is_trained(params, plain):
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), params, plain[0].params)
    experts = moved["backbone"]["layer"]["mlp_main"]
    assert set(experts) == {"router", "experts"} and min(jax.tree.leaves(experts)) > 0


def test_the_loss_contains_the_routers_share(system, params, plain):
    model, seq = system
    _, metrics = step(model, params, seq, balance=Balance(load=0.0, z=0.0))
    assert plain[1]["router/load"] >= EXPERTS["top_k"] - 1e-5  # its value at balance
    share = 0.01 * plain[1]["router/load"] + 0.001 * plain[1]["router/z"]
    np.testing.assert_allclose(plain[1]["loss"] - metrics["loss"], share, rtol=1e-3)


def test_padding_does_not_load_the_experts(system, params):
    model, seq = system
    _, sown = model.apply({"params": params}, seq, method="predict", mutable=["router"])
    stats = sown["router"]["backbone"]["layer"]["mlp_main"]["router"]["stats"]
    filled = (seq.lanes["main"].doc > 0).sum()
    assert filled < seq.lanes["main"].doc.size
    np.testing.assert_array_equal(stats.tokens, [filled, filled])


@pytest.mark.parametrize("shape", [{"data": 2, "expert": 4}, {"data": 2, "expert": 2, "tensor": 2}])
def test_a_mesh_computes_the_same_update(system, params, plain, shape):
    model, seq = system
    state, metrics = step(model, params, seq, mesh=sharding.make_mesh(shape))
    np.testing.assert_allclose(metrics["loss"], plain[1]["loss"], rtol=1e-5)
    jax.tree.map(partial(np.testing.assert_allclose, atol=2e-5), state.params, plain[0].params)
