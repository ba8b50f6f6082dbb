"""The losses of routers against the published functions and against their known minima."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func as mixtral
from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func as qwen3_moe

from unified_jax.core.routing import RouterStats
from unified_jax.nn.router import Router
from unified_jax.objectives.balance import Balance, layerwise, load_balance, pooled, router_z

E, K, D, LAYERS = 6, 2, 5, 3
RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(RNG.normal(size=(LAYERS, 4, 7, E)), jnp.float32)
VALID = jnp.asarray(RNG.random((4, 7)) < 0.6)


def route(logits, valid=None, top_k=K) -> RouterStats:
    """The statistics of a router whose logits are its input."""
    params = {"router": {"kernel": jnp.eye(logits.shape[-1])}}
    valid = None if valid is None else valid.reshape(-1)
    router = Router(logits.shape[-1], top_k)
    flat = logits.reshape(-1, logits.shape[-1])
    return router.apply({"params": params["router"]}, flat, valid=valid, mutable=["router"])[1]["router"]["stats"]


def stacked(logits, valid=None) -> dict:
    """What a scanned stack sows."""
    layers = [route(layer, valid) for layer in logits]
    return {"backbone": {"layer": {"mlp": {"router": {"stats": jax.tree.map(lambda *x: jnp.stack(x), *layers)}}}}}


@pytest.mark.parametrize("published", [mixtral, qwen3_moe])
@pytest.mark.parametrize("valid", [None, VALID])
def test_the_load_of_pooled_layers_is_the_published_loss(published, valid):
    mask = None if valid is None else torch.from_numpy(np.asarray(valid, np.int64))
    logits = tuple(torch.from_numpy(np.asarray(layer).reshape(-1, E)) for layer in LOGITS)
    expected = float(published(logits, E, K, mask))
    found = Balance(over=pooled).losses(stacked(LOGITS, valid))
    assert float(found.load) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("valid", [None, VALID])
def test_the_load_by_layers_is_the_mean_of_the_published_loss_of_each(valid):
    mask = None if valid is None else torch.from_numpy(np.asarray(valid, np.int64))
    each = [float(mixtral((torch.from_numpy(np.asarray(x).reshape(-1, E)),), E, K, mask)) for x in LOGITS]
    found = Balance(over=layerwise).losses(stacked(LOGITS, valid))
    assert float(found.load) == pytest.approx(np.mean(each), rel=1e-6)
    assert float(found.load) != pytest.approx(float(Balance(over=pooled).losses(stacked(LOGITS, valid)).load), rel=1e-3)


def test_the_z_loss_is_the_mean_square_of_the_log_of_the_denominator():
    logits = np.asarray(LOGITS, np.float64)[:, np.asarray(VALID)]
    expected = (np.log(np.exp(logits).sum(-1)) ** 2).mean()
    assert float(Balance().losses(stacked(LOGITS, VALID)).z) == pytest.approx(expected, rel=1e-6)


def test_the_gradient_of_the_load_is_the_published_one():
    logits = torch.from_numpy(np.asarray(LOGITS[0]).reshape(-1, E)).requires_grad_()
    mixtral((logits,), E, K).backward()
    found = jax.grad(lambda logits: load_balance(route(logits)))(LOGITS[0].reshape(-1, E))
    np.testing.assert_allclose(found, logits.grad, rtol=1e-5, atol=1e-8)


def test_perfect_balance_is_the_minimum_and_one_expert_for_all_the_maximum():
    even = 20.0 * jnp.eye(E)  # with top_k 1, as in the Switch paper, each expert gets one token
    assert float(load_balance(route(even, top_k=1))) == pytest.approx(1.0, rel=1e-5)
    one = jnp.tile(even[:1], (9, 1))
    assert float(load_balance(route(one, top_k=1))) == pytest.approx(E, rel=1e-5)


def test_parts_of_a_batch_add_up_to_its_statistics():
    whole, parts = route(LOGITS[0]), (route(LOGITS[0][:1]), route(LOGITS[0][1:]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), parts[0] + parts[1], whole)


def test_a_batch_of_padding_has_no_loss_and_no_gradient():
    loss = lambda logits: load_balance(s := route(logits, jnp.zeros((4, 7), bool))) + router_z(s)
    value, grad = jax.value_and_grad(loss)(LOGITS[0])
    assert value == 0 and float(jnp.abs(grad).max()) == 0


def test_the_total_is_weighted_and_a_model_without_routers_has_none():
    balance = Balance(load=0.3, z=0.7)
    losses = balance.losses(stacked(LOGITS))
    assert float(balance.total(losses)) == pytest.approx(0.3 * float(losses.load) + 0.7 * float(losses.z), rel=1e-6)
    assert float(balance.total(balance.losses({}))) == 0


def test_routers_of_a_scanned_stack_are_collected_layer_by_layer():
    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            layer = lambda router, x: (x + router(x).weight.sum(), None)
            scan = nn.scan(layer, variable_axes={"params": 0, "router": 0}, split_rngs={"params": True}, length=LAYERS)
            return scan(Router(E, K, name="router"), x)[0]

    x = jnp.asarray(RNG.normal(size=(8, D)), jnp.float32)
    params = Stack().init(jax.random.key(0), x)["params"]
    _, sown = Stack().apply({"params": params}, x, mutable=["router"])
    assert sown["router"]["router"]["stats"].counts.shape == (LAYERS, E)
    expected, y = [], x
    for kernel in params["router"]["kernel"]:
        expected.append(float(load_balance(route(y @ kernel))))
        y = y + Router(E, K).apply({"params": {"kernel": kernel}}, y).weight.sum()
    assert float(Balance().losses(sown["router"]).load) == pytest.approx(np.mean(expected), rel=1e-5)
