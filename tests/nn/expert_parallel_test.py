"""Experts split over eight devices give what one device gives, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from unified_jax.nn.expert_dispatch import ExpertParallel
from unified_jax.nn.moe import Moe

E, K, D, F, TOKENS = 8, 3, 16, 24, 64
AXES = ("data", "fsdp", "expert", "tensor")


def mesh(*sizes: int) -> Mesh:
    return Mesh(np.asarray(jax.devices()[: int(np.prod(sizes))]).reshape(sizes), AXES)


def draw(*shape, seed: int = 0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def step(moe, valid):
    """Values, statistics and all gradients."""

    def loss(params, x):
        y, sown = moe.apply({"params": params}, x, valid=valid, mutable=["router"])
        return (y * jnp.cos(jnp.arange(y.size).reshape(y.shape))).sum(), (y, sown)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


@pytest.fixture(scope="module")
def case():
    """Tokens that crowd on the first experts, some of them padding, and what one device makes of them."""
    x, valid = draw(4, TOKENS // 4, D), jnp.asarray(np.random.default_rng(1).random((4, TOKENS // 4)) < 0.8)
    params = Moe(E, K, F).init(jax.random.key(0), x)["params"]
    params["router"]["kernel"] = draw(D, E, seed=2).at[:, 5].set(0.0)
    params["router"]["kernel"] = params["router"]["kernel"].at[0].add(jnp.linspace(3, 0, E))
    return params, x, valid, step(Moe(E, K, F), valid)(params, x)


@pytest.mark.parametrize("sizes", [(1, 1, 8, 1), (2, 1, 2, 2), (1, 2, 4, 1), (1, 4, 1, 2)])
def test_split_experts_equal_experts_in_one_place(case, sizes):
    params, x, valid, expected = case
    devices = mesh(*sizes)
    moe = Moe(E, K, F, dispatch=ExpertParallel(devices))
    where = jax.tree.map(lambda _: NamedSharding(devices, P()), params)
    where["experts"] = {
        "gate": {"kernel": NamedSharding(devices, P("expert", None, "tensor"))},
        "up": {"kernel": NamedSharding(devices, P("expert", None, "tensor"))},
        "down": {"kernel": NamedSharding(devices, P("expert", "tensor"))},
    }
    found = step(moe, valid)(jax.device_put(params, where), x)

    def close(a, b):
        a, b = np.asarray(a), np.asarray(b)
        assert np.abs(a - b).max() <= 2e-6 * max(np.abs(b).max(), 1.0)

    jax.tree.map(close, found, expected)
    assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(expected[1])) > 0.1


def test_parameters_and_gradients_stay_split(case):
    params, x, valid, _ = case
    devices = mesh(1, 1, 8, 1)
    split = NamedSharding(devices, P("expert"))
    params = params | {"experts": jax.device_put(params["experts"], split)}
    _, (grads, _) = step(Moe(E, K, F, dispatch=ExpertParallel(devices)), valid)(params, x)
    for kernel in jax.tree.leaves(grads["experts"]):
        assert kernel.sharding.shard_shape(kernel.shape)[0] == E // 8


@pytest.mark.parametrize(("experts", "tokens", "words"), [(6, 64, "6 experts"), (8, 60, "60 tokens")])
def test_what_does_not_divide_is_said(experts, tokens, words):
    moe = Moe(experts, K, F, dispatch=ExpertParallel(mesh(1, 1, 8, 1)))
    with pytest.raises(ValueError, match=f"{words} do not divide"):
        moe.init(jax.random.key(0), jnp.zeros((tokens, D)))
