"""Feed-forward pieces and activations against the reference's own modules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers import GemmaConfig, LlamaConfig, PersimmonConfig, PhiConfig
from transformers.activations import ACT2FN
from transformers.models.gemma.modeling_gemma import GemmaMLP
from transformers.models.llama.modeling_llama import LlamaMLP
from transformers.models.persimmon.modeling_persimmon import PersimmonMLP
from transformers.models.phi.modeling_phi import PhiMLP

from unified_jax.nn.mlp import ACTIVATIONS, GatedMlp, Mlp, find_activation

D, F = 8, 12
RNG = np.random.default_rng(0)
SIZES = {"hidden_size": D, "intermediate_size": F, "num_attention_heads": 2}
OURS = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down", "fc1": "up", "fc2": "down"}
OURS |= {"dense_h_to_4h": "up", "dense_4h_to_h": "down"}


def draw(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


PIECES = {
    "gated": (GatedMlp(F), LlamaMLP(LlamaConfig(**SIZES))),
    "gated with biases": (GatedMlp(F, use_bias=True), LlamaMLP(LlamaConfig(**SIZES, mlp_bias=True))),
    "gated by gelu": (GatedMlp(F, find_activation("gelu_pytorch_tanh")), GemmaMLP(GemmaConfig(**SIZES))),
    "gelu": (Mlp(F, find_activation("gelu_new")), PhiMLP(PhiConfig(**SIZES))),
    "squared relu": (Mlp(F, find_activation("relu2")), PersimmonMLP(PersimmonConfig(**SIZES))),
}


@pytest.fixture(params=PIECES, scope="module")
def case(request):
    """(our module, its parameters, the reference with the same numbers)."""
    module, reference = PIECES[request.param]
    params = {}
    for name, parameter in reference.named_parameters():
        parameter.data = torch.from_numpy(draw(*parameter.shape))
        layer, kind = name.split(".")
        leaf = {"weight": "kernel", "bias": "bias"}[kind]
        params.setdefault(OURS[layer], {})[leaf] = jnp.asarray(parameter.data.numpy().T)
    return module, params, reference


def test_values_equal_the_reference(case):
    module, params, reference = case
    x = draw(2, 5, D)
    expected = reference(torch.from_numpy(x)).detach().numpy()
    found = np.asarray(module.apply({"params": params}, jnp.asarray(x)))
    assert np.abs(found - expected).max() / np.abs(expected).max() < 2e-6


def test_the_parameters_are_exactly_these_float32_and_all_have_gradients(case):
    module, params, _ = case
    x = jnp.asarray(draw(2, 5, D))
    shapes = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    assert shapes(module.init(jax.random.key(0), x)["params"]) == shapes(params)
    gradient = jax.grad(lambda params: jnp.sum(module.apply({"params": params}, x) ** 2))(params)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize("make", [GatedMlp, Mlp])
def test_products_are_in_the_compute_type(make):
    x, inside = jnp.asarray(draw(2, 5, D)), []
    spy = lambda y: inside.append(y.dtype) or jax.nn.relu(y)
    y, variables = make(F, spy, dtype=jnp.bfloat16).init_with_output(jax.random.key(0), x)
    assert {y.dtype, *inside} == {jnp.dtype("bfloat16")} and len(inside) == 1
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_named_activation_is_the_published_formula(name):
    x = np.linspace(-8, 8, 1001, dtype=np.float32)
    expected = ACT2FN[name](torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(find_activation(name)(jnp.asarray(x)), expected, rtol=2e-6, atol=2e-6)


def test_the_two_forms_of_gelu_are_told_apart():
    x = jnp.linspace(-3, 3, 101)
    assert np.abs(ACTIVATIONS["gelu"](x) - ACTIVATIONS["gelu_new"](x)).max() > 1e-4
    assert np.abs(ACTIVATIONS["gelu"](x) - ACTIVATIONS["quick_gelu"](x)).max() > 1e-2


def test_an_unknown_activation_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown activation 'gelly'; choose one of gelu, "):
        find_activation("gelly")
