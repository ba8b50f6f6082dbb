"""Stack: the scan computes what the loop over layers computes, whatever is recomputed or unrolled."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.cache import commit, empty
from unified_jax.core.paths import path_name
from unified_jax.core.sequence import Slots
from unified_jax.nn.block import Block, Side
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.rope import Rope
from unified_jax.nn.stack import REMAT, Stack

B, T, WIDTH, DEPTH, ROPE = 2, 6, 16, 3, Rope(8)
POS = jnp.tile(jnp.arange(T)[None, :, None], (B, 1, 3))
ONES = jnp.ones((B, T), jnp.int32)
SLOTS = Slots(doc=ONES, block=POS[..., 0], private=ONES < 1, pos=POS)
X = jnp.asarray(np.random.default_rng(0).normal(size=(B, T, WIDTH)), jnp.float32)
WANTED = jnp.asarray(np.random.default_rng(1).normal(size=(B, T, WIDTH)), jnp.float32)


def layer(dtype="float32", **options):
    mlp = partial(GatedMlp, 24, dtype=dtype)
    return partial(Block, num_heads=2, head_dim=8, mlp=mlp, route={"main": "main"}, dtype=dtype, **options)


def stack(block=None, **options) -> Stack:
    return Stack(block or layer(qk_norm=RMSNorm), DEPTH, ROPE, **options)


def init(module: Stack):
    return jax.jit(lambda: module.init(jax.random.key(0), {"main": X}, slots=SLOTS)["params"])()


def forward(module: Stack, params, x=X):
    return module.apply({"params": params}, {"main": x}, slots=SLOTS)


def value_and_grad(module: Stack, params, x=X):
    loss = lambda params: (forward(module, params, x)[0]["main"].astype(jnp.float32) * WANTED).sum()
    return jax.jit(jax.value_and_grad(loss))(params)


@pytest.fixture(scope="module")
def params():
    return jax.tree.map(lambda x: x + 0.1 * np.cos(np.arange(x.size, dtype=np.float32)).reshape(x.shape), init(stack()))


@pytest.fixture(scope="module")
def plain(params):
    return value_and_grad(stack(), params)


def test_the_scan_equals_a_loop_over_layers_with_slices_of_the_parameters(params):
    out, kv = jax.jit(partial(forward, stack()))(params)
    x, block = {"main": X}, jax.jit(layer(qk_norm=RMSNorm)().apply)
    for i in range(DEPTH):
        own = jax.tree.map(lambda leaf, i=i: leaf[i], params["layer"])
        x, own_kv = block({"params": own}, x, None, Side(ROPE(POS), SLOTS))
        for found, expected in zip(kv, own_kv):
            np.testing.assert_allclose(found[i], expected, atol=1e-5)
    expected = RMSNorm().apply({"params": params["norm_main"]}, x["main"])
    np.testing.assert_allclose(out["main"], expected, atol=1e-5)


def test_layers_apart_compute_the_same_and_are_a_choice_of_unrolling(params):
    windows = (2, None, 3)
    whole, apart = (stack(windows=windows, unroll=n) for n in (1, DEPTH))
    expected = jax.jit(partial(forward, whole))(params)
    cache = commit(empty(expected[1], T + 2), expected[1], SLOTS)
    assert whole.apart(params, cache) == (params, cache)
    own, layers = apart.apart(params, cache)
    assert isinstance(own["layer"], tuple) and [len(x) for x in layers.kv] == [DEPTH, DEPTH]
    assert jax.tree.structure(apart.apart(own, layers)) == jax.tree.structure((own, layers))
    found = jax.jit(partial(forward, apart))(own)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), found, expected)
    later = SLOTS.replace(block=POS[..., 0] + T)
    read = jax.jit(lambda params, cache: apart.apply({"params": params}, {"main": X}, slots=later, cache=cache))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), read(own, layers), read(own, cache))


@pytest.mark.parametrize(
    "options",
    [*({"remat": name} for name in REMAT if name != "none"), {"unroll": DEPTH}, {"remat": "full", "unroll": 2}],
)
def test_recomputing_and_unrolling_change_neither_value_nor_gradient(options, params, plain):
    value, grads = value_and_grad(stack(**options), params)
    np.testing.assert_allclose(value, plain[0], rtol=1e-5)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4), grads, plain[1])


def test_full_rematerialisation_keeps_less_than_none(params):
    kept = {}
    for remat in ("none", "full"):
        _, pull = jax.eval_shape(lambda p, r=remat: jax.vjp(lambda p: forward(stack(remat=r), p)[0]["main"], p), params)
        kept[remat] = sum(x.size for x in jax.tree.leaves(pull))
    assert kept["full"] < 0.7 * kept["none"]


def test_every_parameter_of_every_layer_gets_a_gradient(plain):
    for path, grad in jax.tree_util.tree_leaves_with_path(plain[1]):
        layers = np.asarray(grad if "layer" in path_name(path) else grad[None])
        for i, own in enumerate(layers):
            assert np.abs(own).max() > 1e-6, f"{path_name(path)} of layer {i}"


def test_layers_start_different():
    kernel = np.asarray(init(stack())["layer"]["q_main"]["kernel"])
    assert kernel.shape[0] == DEPTH
    assert all(np.abs(kernel[i] - kernel[j]).max() > 1e-3 for i in range(DEPTH) for j in range(i))


def test_bfloat16_compute_keeps_float32_parameters_and_gradients(params, plain):
    module, x = stack(layer("bfloat16", qk_norm=RMSNorm)), X.astype(jnp.bfloat16)
    fresh = jax.eval_shape(lambda: module.init(jax.random.key(0), {"main": x}, slots=SLOTS)["params"])
    assert {leaf.dtype for leaf in jax.tree.leaves(fresh)} == {jnp.dtype("float32")}
    out, kv = jax.eval_shape(partial(forward, module, x=x), params)
    assert {leaf.dtype for leaf in jax.tree.leaves((out, kv))} == {jnp.dtype("bfloat16")}
    value, grads = value_and_grad(module, params, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(grads)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(value, plain[0], rtol=0.1, atol=1.0)


@pytest.mark.parametrize("qk_norm", [RMSNorm, None])
def test_qk_norm_makes_the_scale_of_queries_irrelevant(qk_norm):
    module = stack(layer(qk_norm=qk_norm))
    fresh = init(module)
    louder = {**fresh, "layer": {**fresh["layer"], "q_main": {"kernel": 8 * fresh["layer"]["q_main"]["kernel"]}}}
    run = jax.jit(lambda params: forward(module, params)[0]["main"])
    change = jnp.abs(run(louder) - run(fresh)).max()
    assert change < 1e-3 if qk_norm else change > 1e-2
    assert ("q_norm_main" in fresh["layer"]) == bool(qk_norm)


def test_an_unknown_policy_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown remat policy 'some'; choose one of none, dots, full"):
        stack(remat="some").init(jax.random.key(0), {"main": X}, slots=SLOTS)
