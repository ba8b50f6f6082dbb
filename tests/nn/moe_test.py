"""Mixtures of experts: against transformers, against every expert run on every token, and what they cost."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from jax.experimental.pallas import tpu as pltpu
from transformers import MixtralConfig, Qwen2MoeConfig, Qwen3MoeConfig
from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock
from transformers.models.qwen2_moe.modeling_qwen2_moe import Qwen2MoeSparseMoeBlock
from transformers.models.qwen3_moe.modeling_qwen3_moe import Qwen3MoeSparseMoeBlock

from unified_jax.nn.expert_dot import grouped_dot, tile_rows, tiled_dot
from unified_jax.nn.expert_kernel import kernel_dot
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.moe import Moe, Weighed

E, K, D, F, TOKENS = 6, 2, 16, 24, 30


def worst(found, expected) -> float:
    """The largest difference as a fraction of the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def draw(*shape, seed: int = 0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def params_of(module, x, **given):
    """Parameters of the module's shapes; the router's large enough to tell tokens apart."""
    shapes = jax.eval_shape(functools.partial(module.init, **given), jax.random.key(0), x)["params"]
    leaves, tree = jax.tree.flatten(shapes)
    params = tree.unflatten([draw(*leaf.shape, seed=i) / leaf.shape[-2] ** 0.5 for i, leaf in enumerate(leaves, 1)])
    return params | {"router": {"kernel": 4 * params["router"]["kernel"]}}


@functools.partial(jax.jit, static_argnums=0)
def run(module, params, x, given):
    return module.apply({"params": params}, x, **given)


def apply(module, params, x, **given):
    return run(module, params, x, given)


@functools.partial(jax.jit, static_argnums=0)
def gradient(module, params, x, y):
    """Of the sum of the output times y."""
    return jax.grad(lambda params, x: (module.apply({"params": params}, x) * y).sum(), argnums=(0, 1))(params, x)


def by_hand(params, x, *, top_k=K, normalize=True, kernel=None):
    """Every expert on every token, weighted by a softmax from which all but the top_k are struck out."""
    x, experts = np.asarray(x, np.float64), params["experts"]
    logits = x @ np.asarray(params["router"]["kernel"] if kernel is None else kernel, np.float64)
    weight = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    weight = np.where(weight >= np.sort(weight, -1)[..., -top_k, None], weight, 0)
    if normalize:
        weight = weight / weight.sum(-1, keepdims=True)
    gate, up, down = (np.asarray(experts[name]["kernel"], np.float64) for name in ("gate", "up", "down"))
    a, b = np.einsum("nd,edf->nef", x, gate), np.einsum("nd,edf->nef", x, up)
    return np.einsum("nef,efd,ne->nd", a / (1 + np.exp(-a)) * b, down, weight)


COMMON = dict(
    hidden_size=D,
    intermediate_size=F,
    moe_intermediate_size=F,
    shared_expert_intermediate_size=20,
    num_experts=E,
    num_local_experts=E,
    num_experts_per_tok=K,
)
SHARED = functools.partial(Weighed, functools.partial(GatedMlp, 20))


@pytest.mark.parametrize(
    ("make", "config", "moe"),
    [
        (MixtralSparseMoeBlock, MixtralConfig(**COMMON), Moe(E, K, F)),
        (Qwen3MoeSparseMoeBlock, Qwen3MoeConfig(**COMMON, norm_topk_prob=True), Moe(E, K, F)),
        (Qwen3MoeSparseMoeBlock, Qwen3MoeConfig(**COMMON, norm_topk_prob=False), Moe(E, K, F, normalize=False)),
        (Qwen2MoeSparseMoeBlock, Qwen2MoeConfig(**COMMON), Moe(E, K, F, normalize=False, shared=SHARED)),
    ],
    ids=["mixtral", "qwen3_moe", "qwen3_moe unnormalised", "qwen2_moe"],
)
def test_the_mixtures_of_transformers(make, config, moe, record_parity, request):
    torch.manual_seed(0)
    block = make(config).eval()
    for parameter in block.parameters():  # some are created empty
        torch.nn.init.normal_(parameter, std=0.3)
    state = {name: jnp.asarray(value.numpy()) for name, value in block.state_dict().items()}
    gate, up = jnp.split(state["experts.gate_up_proj"].transpose(0, 2, 1), 2, -1)
    kernel = lambda array: {"kernel": array}
    params = {
        "router": kernel(state["gate.weight"].T),
        "experts": {
            "gate": kernel(gate),
            "up": kernel(up),
            "down": kernel(state["experts.down_proj"].transpose(0, 2, 1)),
        },
    }
    if moe.shared is not None:
        body = {name: kernel(state[f"shared_expert.{name}_proj.weight"].T) for name in ("gate", "up", "down")}
        params["shared"] = {"score": kernel(state["shared_expert_gate.weight"].T), "body": body}
    x = draw(TOKENS, D)
    with torch.no_grad():
        expected = block(torch.from_numpy(np.array(x))[None])[0]
    found = worst(apply(moe, params, x), expected)
    record_parity(
        f"moe:{request.node.callspec.id.replace(' ', '-')}",
        reference=f"transformers {transformers.__version__}, {make.__name__}",
        what=f"outputs of {TOKENS} tokens",
        worst_relative=found,
        tolerance=1e-5,
    )
    assert found <= 1e-5


@pytest.mark.parametrize(
    ("top_k", "grouped"), [(1, grouped_dot), (K, grouped_dot), (E, grouped_dot), (K, jax.lax.ragged_dot)]
)
def test_a_mixture_is_the_weighted_sum_of_its_chosen_experts(top_k, grouped):
    moe, x = Moe(E, top_k, F, grouped=grouped), draw(TOKENS, D)
    params = params_of(moe, x)
    assert worst(apply(moe, params, x), by_hand(params, x, top_k=top_k)) <= 1e-5


def test_with_one_expert_a_mixture_is_a_dense_feed_forward():
    moe, x = Moe(1, 1, F), draw(3, 10, D)
    params = params_of(moe, x)
    dense = jax.tree.map(lambda kernel: kernel[0], params["experts"])
    assert worst(apply(moe, params, x), apply(GatedMlp(F), dense, x)) <= 1e-6


def test_gradients_are_those_of_the_masked_dense_form():
    moe, x, y = Moe(E, K, F), draw(TOKENS, D), draw(TOKENS, D, seed=2)
    params = params_of(moe, x)

    def dense(params, x):
        probability = jax.nn.softmax(x @ params["router"]["kernel"])
        rank = (probability[:, None] > probability[..., None]).sum(-1)
        weight = jnp.where(rank < K, probability, 0)
        weight = weight / weight.sum(-1, keepdims=True)
        gate, up, down = (params["experts"][name]["kernel"] for name in ("gate", "up", "down"))
        hidden = jax.nn.silu(jnp.einsum("nd,edf->nef", x, gate)) * jnp.einsum("nd,edf->nef", x, up)
        return jnp.einsum("nef,efd,ne->nd", hidden, down, weight)

    found = gradient(moe, params, x, y)
    expected = jax.jit(jax.grad(lambda params, x: (dense(params, x) * y).sum(), argnums=(0, 1)))(params, x)
    assert max(jax.tree.leaves(jax.tree.map(worst, found, expected))) <= 1e-5
    assert all(float(jnp.abs(g).max()) > 0 for g in jax.tree.leaves(found))


@pytest.mark.parametrize(
    "dot", [functools.partial(tiled_dot, tile=tile) for tile in (1, 5, 16)] + [tiled_dot, grouped_dot, kernel_dot]
)
def test_a_grouped_product_is_a_product_for_each_group(dot):
    x, kernel, y = draw(17, D), draw(4, D, F, seed=1), draw(17, F, seed=2)

    # grouped_dot lowers to tiled_dot here, but is traced with kernel_dot too, which must then stay as it is.
    interpret = pltpu.force_tpu_interpret_mode if dot is kernel_dot else contextlib.nullcontext

    @jax.jit
    def both(sizes):
        out, pull = jax.vjp(lambda x, kernel: dot(x, kernel, sizes), x, kernel)
        return out, *pull(y)

    for sizes in ([7, 0, 9, 1], [0, 0, 0, 0], [0, 17, 0, 0], [3, 0, 0, 2]):
        end, groups = sum(sizes), np.repeat(np.arange(4), sizes)
        with interpret():
            out, dx, dkernel = both(jnp.asarray(sizes, jnp.int32))
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
        close(out[:end], np.einsum("nd,ndf->nf", x[:end], kernel[groups]))
        close(dx[:end], np.einsum("nf,ndf->nd", y[:end], kernel[groups]))
        close(dkernel, np.einsum("nd,nf,ne->edf", x[:end], y[:end], np.eye(4)[groups]))


def test_an_expert_that_nobody_chooses_gets_no_gradient_and_harms_nobody():
    moe, x = Moe(E, K, F), jnp.abs(draw(TOKENS, D))
    params = params_of(moe, x)
    params["router"]["kernel"] = params["router"]["kernel"].at[:, 3].set(-100.0)
    assert worst(apply(moe, params, x), by_hand(params, x)) <= 1e-5
    grads, _ = gradient(moe, params, x, draw(TOKENS, D, seed=2))
    for kernel in jax.tree.leaves(grads["experts"]):
        assert float(jnp.abs(kernel[3]).max()) == 0 and float(jnp.abs(kernel).max()) > 0


def test_the_order_of_tokens_does_not_matter():
    moe, x = Moe(E, K, F), draw(TOKENS, D)
    params, order = params_of(moe, x), np.random.default_rng(3).permutation(TOKENS)
    assert worst(apply(moe, params, x[order]), apply(moe, params, x)[order]) <= 1e-6


def test_ties_go_to_the_first_experts_in_equal_shares():
    moe, x = Moe(E, K, F), draw(TOKENS, D)
    params = params_of(moe, x)
    params["router"]["kernel"] = jnp.zeros((D, E))
    first = jax.tree.map(lambda kernel: kernel[:K], params["experts"])
    expected = by_hand({"experts": first}, x, kernel=np.zeros((D, K)))
    assert worst(apply(moe, params, x), expected) <= 1e-5


def poisoned_dot(x, kernel, group_sizes):
    """A grouped product whose rows after the last group are not finite, forward and backward, as kernels may leave."""
    inside = (jnp.arange(len(x)) < group_sizes.sum())[:, None]
    return jnp.where(inside, tiled_dot(jnp.where(inside, x, x * jnp.nan), kernel, group_sizes), jnp.nan)


def test_padding_changes_nothing_for_others_even_where_it_is_not_finite():
    moe, x = Moe(E, K, F, grouped=poisoned_dot), draw(TOKENS, D)
    valid = np.random.default_rng(4).random(TOKENS) < 0.6
    params, y = params_of(moe, x), draw(TOKENS, D, seed=2)

    @jax.jit
    def step(params, x):
        def loss(params):
            out, sown = moe.apply({"params": params}, x, valid=jnp.asarray(valid), mutable=["router"])
            return (out * y).sum(), (out, sown["router"]["router"]["stats"])

        return jax.value_and_grad(loss, has_aux=True)(params)

    (_, (out, stats)), grads = step(params, x)
    assert worst(out[valid], by_hand(params, x[valid])) <= 1e-5
    assert float(jnp.abs(out[~valid]).max()) == 0
    assert float(stats.tokens) == valid.sum() and float(stats.counts.sum()) == K * valid.sum()
    alone, _ = gradient(Moe(E, K, F), params, x[valid], y[valid])
    assert max(jax.tree.leaves(jax.tree.map(worst, grads, alone))) <= 1e-5
    (_, (dirty, dirty_stats)), _ = step(params, jnp.where(valid[:, None], x, jnp.inf))
    np.testing.assert_array_equal(dirty[valid], out[valid])
    jax.tree.map(np.testing.assert_array_equal, dirty_stats, stats)


def test_every_modality_has_its_own_gate_over_the_same_experts():
    moe, x = Moe(E, K, F, modalities=3), draw(TOKENS, D)
    modality = jnp.asarray(np.random.default_rng(5).integers(0, 3, TOKENS), jnp.int32)
    params = params_of(moe, x, modality=modality)
    y = apply(moe, params, x, modality=modality)
    for i, kernel in enumerate(params["router"]["kernel"]):
        mine = np.asarray(modality) == i
        assert worst(y[mine], by_hand(params, x[mine], kernel=kernel)) <= 1e-5


def test_statistics_are_summed_over_calls_and_cost_nothing_unasked():
    moe, x = Moe(E, K, F), draw(TOKENS, D)
    params = params_of(moe, x)

    def halves(moe, x):
        return moe(x[: TOKENS // 2]), moe(x[TOKENS // 2 :])

    def stats(method):
        sown = jax.jit(lambda x: moe.apply({"params": params}, x, mutable=["router"], method=method)[1])(x)
        return sown["router"]["router"]["stats"]

    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), stats(halves), stats(None))
    assert isinstance(apply(moe, params, x), jax.Array)


def test_the_compute_type_leaves_parameters_and_routing_in_float32():
    moe, x = Moe(E, K, F, dtype=jnp.bfloat16), draw(TOKENS, D)
    params = params_of(moe, x)
    y = apply(moe, params, x)
    assert y.dtype == jnp.bfloat16 and {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert worst(y.astype(jnp.float32), by_hand(params, x)) <= 0.03


@pytest.mark.parametrize(
    ("moe", "given", "words"),
    [
        (Moe(4, 5, F), {}, "top_k must be 1 to num_experts = 4, found 5"),
        (Moe(4, 2, F, modalities=2), {}, "2 gate"),
        (Moe(4, 2, F), {"modality": jnp.zeros(3, jnp.int32)}, "1 gate"),
    ],
)
def test_what_cannot_be_routed_is_said(moe, given, words):
    with pytest.raises(ValueError, match=words):
        jax.eval_shape(functools.partial(moe.init, **given), jax.random.key(0), jnp.zeros((3, D)))


def flops_of_gradient(module, x) -> float:
    """Forward and backward, to parameters and input, as XLA counts the compiled program."""
    params = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    loss = lambda params, x: (module.apply({"params": params}, x) ** 2).sum()
    return jax.jit(jax.grad(loss, argnums=(0, 1))).lower(params, x).compile().cost_analysis()["flops"]


def test_on_the_cpu_a_mixture_costs_what_a_dense_layer_of_its_active_size_does(monkeypatch):
    """XLA counts the body of a loop once, whatever the trips. So the program is compiled again with two trips in every
    body; the difference is a trip of every loop, of which a real routing makes as many as its groups have tiles.
    """
    experts, top_k, width, hidden, tokens = 8, 2, 256, 256, 2048
    moe, x = Moe(experts, top_k, hidden, grouped=tiled_dot), jax.ShapeDtypeStruct((tokens, width), jnp.float32)
    once, loop = flops_of_gradient(moe, x), jax.lax.fori_loop

    def two_trips(low, high, body, out):
        return loop(low, high, lambda i, out: body(i + 1, body(i, out)), out)

    monkeypatch.setattr(jax.lax, "fori_loop", two_trips)
    trip = flops_of_gradient(moe, x) - once
    _, chosen = jax.lax.top_k(draw(tokens, experts), top_k)
    sizes = np.bincount(np.ravel(chosen), minlength=experts)
    tiles = (-(-sizes // tile_rows(top_k * tokens, experts))).sum()
    mixture = once + (tiles - 1) * trip
    dense, router = flops_of_gradient(GatedMlp(top_k * hidden), x), 6 * tokens * width * experts
    print(f"FLOPs, mixture / dense: {mixture / dense:.3f}, of which the router {router / dense:.3f}")
    assert dense == pytest.approx(18 * tokens * width * top_k * hidden, rel=0.02)
    assert 1.0 < mixture / dense <= 1.1 + router / dense
