"""Block: routing by lane under one joint attention."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.sequence import Slots, join
from unified_jax.nn.block import Block, Side
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.rope import Rope

WIDTH, SIZES = 16, {"gen": 3, "und": 4}  # in the order lanes are joined
EXPERTS = {"und": "und", "gen": "gen"}
block = partial(Block, num_heads=4, num_kv_heads=2, head_dim=8, qk_norm=RMSNorm, mlp=partial(GatedMlp, 24))


def run(module: Block, params, xs, side):
    return jax.jit(lambda params, xs: module.apply({"params": params}, xs, None, side))(params, xs)


def init(module: Block, xs, side):
    return jax.jit(lambda xs, side: module.init(jax.random.key(0), xs, None, side)["params"])(xs, side)


def perturbed(params, seed: int = 0):
    """Every parameter moved, so that none is at a value that hides its effect (a norm's scale of one)."""
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(seed)
    return jax.tree.unflatten(tree, [np.asarray(x) + np.float32(0.2 * rng.normal(size=x.shape)) for x in leaves])


@pytest.fixture(scope="module")
def xs():
    rng = np.random.default_rng(0)
    return {lane: jnp.asarray(rng.normal(size=(2, n, WIDTH)), jnp.float32) for lane, n in SIZES.items()}


@pytest.fixture(scope="module")
def side():
    n = sum(SIZES.values())
    pos = jnp.tile(jnp.arange(n)[None, :, None], (2, 1, 3))
    ones = jnp.ones((2, n), jnp.int32)
    return Side(Rope(8)(pos), Slots(doc=ones, block=pos[..., 0], private=ones < 1, pos=pos))


@pytest.fixture(scope="module")
def two(xs, side):
    """A block of two experts, its parameters and its output."""
    module = block(route=EXPERTS)
    params = perturbed(init(module, xs, side))
    return module, params, run(module, params, xs, side)


@pytest.fixture(scope="module")
def dense(xs, side):
    """One lane, one expert, the same slots: parameters and output."""
    module = block(route={"main": "main"})
    params = perturbed(init(module, {"main": join(xs)}, side))
    return params, run(module, params, {"main": join(xs)}, side)


def test_two_lanes_that_share_an_expert_equal_one_lane(xs, side, dense):
    params, (expected, kv) = dense
    found, found_kv = run(block(route={"und": "main", "gen": "main"}), params, xs, side)
    np.testing.assert_allclose(join(found), expected["main"], atol=1e-5)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), found_kv, kv)


def test_two_experts_with_the_same_weights_equal_the_dense_block(xs, side, dense, two):
    params, (expected, _) = dense
    tied = {name.replace("_main", f"_{expert}"): x for name, x in params.items() for expert in EXPERTS}
    assert jax.tree.structure(tied) == jax.tree.structure(two[1])
    np.testing.assert_allclose(join(run(two[0], tied, xs, side)[0]), expected["main"], atol=1e-5)


def test_every_expert_has_its_own_piece_of_everything(two):
    names = {name.rsplit("_", 1)[0] for name in two[1]}
    assert names == {"attn_norm", "mlp_norm", "q", "k", "v", "o", "q_norm", "k_norm", "mlp"}
    assert set(two[1]) == {f"{name}_{expert}" for name in names for expert in EXPERTS}


@pytest.mark.parametrize(
    "piece, others_change", [("mlp", False), ("mlp_norm", False), ("o", False), ("q", False), ("k", True), ("v", True)]
)
def test_the_weights_of_one_expert_reach_the_other_lane_only_through_keys_and_values(
    piece, others_change, xs, side, two
):
    module, params, (before, _) = two
    name = f"{piece}_gen"
    after, _ = run(module, {**params, name: perturbed(params[name], seed=1)}, xs, side)
    assert jnp.abs(after["gen"] - before["gen"]).max() > 1e-3
    assert (jnp.abs(after["und"] - before["und"]).max() > 1e-3) == others_change


def test_shared_pieces_are_one_set_of_weights_and_the_rest_stays_routed(xs, side):
    module = block(route=EXPERTS, shared=("attn", "norm"))
    params = jax.eval_shape(lambda: module.init(jax.random.key(0), xs, None, side)["params"])
    shared = {f"{piece}_all" for piece in ("attn_norm", "mlp_norm", "q", "k", "v", "o", "q_norm", "k_norm")}
    assert set(params) == shared | {"mlp_und", "mlp_gen"}


def test_experts_may_differ_in_width(side):
    xs = {"gen": jnp.ones((2, SIZES["gen"], 12)), "und": jnp.ones((2, SIZES["und"], WIDTH))}
    module = block(route=EXPERTS)
    out, _ = jax.eval_shape(lambda: module.init_with_output(jax.random.key(0), xs, None, side)[0])
    assert {lane: x.shape for lane, x in out.items()} == {lane: x.shape for lane, x in xs.items()}


def test_a_slot_is_untouched_by_what_it_may_not_see(xs, side, two):
    module, params, (before, _) = two
    changed = {**xs, "und": xs["und"].at[:, -1].add(1.0)}  # the last slot of the causal row
    after, _ = run(module, params, changed, side)
    np.testing.assert_array_equal(join(after)[:, :-1], join(before)[:, :-1])
    assert jnp.abs(after["und"][:, -1] - before["und"][:, -1]).max() > 1e-3


@pytest.mark.parametrize("shared", [(), ("attn", "norm")])
def test_routing_by_lane_costs_what_the_dense_block_costs(shared, xs, side):
    def flops(module, xs):
        params = jax.eval_shape(lambda: module.init(jax.random.key(0), xs, None, side)["params"])
        loss = lambda params, xs: sum(x.sum() for x in module.apply({"params": params}, xs, None, side)[0].values())
        return jax.jit(jax.grad(loss, (0, 1))).lower(params, xs).compile().cost_analysis()["flops"]

    ratio = flops(block(route=EXPERTS, shared=shared), xs) / flops(block(route={"main": "main"}), {"main": join(xs)})
    assert 0.9 < ratio < 1.1
