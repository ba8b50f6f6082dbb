"""Norms against the reference's own modules, and what the pieces of a head share."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from transformers.models.chameleon.modeling_chameleon import ChameleonLayerNorm
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.olmo2.modeling_olmo2 import Olmo2RMSNorm

from unified_jax.nn.norm import FixedNorm, LayerNorm, RMSNorm

B, T, H, C = 2, 3, 4, 16
RNG = np.random.default_rng(0)


def draw(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def small(*shape: int) -> np.ndarray:
    """Entries whose variance is of the size of epsilon, and whose mean is not 0."""
    return 2e-3 * draw(*shape) + 1e-3


class OverHeads(torch.nn.Module):
    """A norm of the flat width H C, as some models apply it before heads are split."""

    def __init__(self, norm: torch.nn.Module):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x.flatten(-2)).reshape(x.shape)


PIECES = {
    "rms": (partial(RMSNorm, epsilon=1e-5), LlamaRMSNorm(C, eps=1e-5)),
    "rms, scale stored less 1": (partial(RMSNorm, offset=1.0), GemmaRMSNorm(C, eps=1e-6)),
    "rms over all heads": (partial(RMSNorm, axes=2, scale_axes=2), OverHeads(Olmo2RMSNorm(H * C, eps=1e-6))),
    "layer": (partial(LayerNorm, 1e-5), torch.nn.LayerNorm(C, eps=1e-5)),
    "layer, other epsilon": (partial(LayerNorm, 1e-6), torch.nn.LayerNorm(C, eps=1e-6)),
    "layer without bias": (partial(LayerNorm, 1e-5, use_bias=False), torch.nn.LayerNorm(C, eps=1e-5, bias=False)),
    "layer, own scale per head": (partial(LayerNorm, 1e-5, scale_axes=2), ChameleonLayerNorm((H, C))),
    "layer over all heads": (partial(LayerNorm, 1e-5, axes=2, scale_axes=2), torch.nn.LayerNorm((H, C), eps=1e-5)),
}


@pytest.fixture(params=PIECES, scope="module")
def case(request):
    """(our module, its parameters, the reference with the same numbers)."""
    make, reference = PIECES[request.param]
    module, params = make(), {}
    names = {"weight": "scale", "bias": "bias"}
    for name, parameter in reference.named_parameters():
        value = 1 + draw(*parameter.shape)
        parameter.data = torch.from_numpy(value)
        scale_axes = (H, C) if parameter.numel() == H * C else (C,)
        params[names[name.split(".")[-1]]] = jnp.asarray(value.reshape(scale_axes))
    return module, params, reference


@pytest.mark.parametrize("sample", [draw, small])
def test_values_equal_the_reference(case, sample):
    module, params, reference = case
    x = sample(B, T, H, C)
    expected = reference(torch.from_numpy(x)).detach().numpy()
    found = np.asarray(module.apply({"params": params}, jnp.asarray(x)))
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-6


def test_the_parameters_are_exactly_these_and_begin_at_identity(case):
    module, params, _ = case
    x = jnp.asarray(draw(B, T, H, C))
    y, variables = module.init_with_output(jax.random.key(0), x)
    shapes = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    assert shapes(variables["params"]) == shapes(params)
    np.testing.assert_allclose(np.mean(np.square(y)), 1.0, rtol=1e-3)


def test_gradients_reach_every_parameter_and_equal_the_references(case):
    module, params, reference = case
    x, weight = draw(B, T, H, C), draw(B, T, H, C)
    loss = lambda params, x: jnp.sum(module.apply({"params": params}, x) * weight)
    found, by_input = jax.grad(loss, argnums=(0, 1))(params, jnp.asarray(x))
    inputs = torch.from_numpy(x).requires_grad_()
    reference.zero_grad()
    (reference(inputs) * torch.from_numpy(weight)).sum().backward()
    np.testing.assert_allclose(by_input, inputs.grad.numpy(), atol=1e-4)
    expected = [parameter.grad.numpy() for parameter in reference.parameters()]
    for gradient, other in zip([found[name] for name in ("scale", "bias") if name in found], expected, strict=True):
        np.testing.assert_allclose(gradient.reshape(other.shape), other, atol=1e-4)
        assert np.abs(gradient).min() > 0


def test_bfloat16_states_keep_float32_statistics(case):
    """The result is the float32 result rounded once; in bfloat16 arithmetic the mean of entries near 100 is off."""
    module, params, _ = case
    x = (100 + draw(B, T, H, C)).astype(jnp.bfloat16)
    found = module.apply({"params": params}, jnp.asarray(x))
    expected = module.apply({"params": params}, jnp.asarray(x, jnp.float32))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, expected.astype(jnp.bfloat16))


@pytest.mark.parametrize(("reference", "offset", "same"), [(GemmaRMSNorm(C), 1.0, 1.0), (LlamaRMSNorm(C), 0.0, 0.7)])
def test_in_bfloat16_the_published_orders_differ_by_one_rounding(reference, offset, same):
    """``same``: share of equal entries at least; the others are one step of bfloat16 apart."""
    scale, x = 1 + draw(C), torch.from_numpy(draw(64, C)).bfloat16()
    reference.weight.data = torch.from_numpy(scale).bfloat16()
    scale = jnp.asarray(reference.weight.float().detach().numpy())
    expected = reference(x).float().detach().numpy()
    ours = RMSNorm(offset=offset).apply({"params": {"scale": scale}}, jnp.asarray(x.float().numpy(), jnp.bfloat16))
    found = np.asarray(ours, np.float32)
    assert np.mean(found == expected) >= same
    np.testing.assert_allclose(found, expected, rtol=2**-7)


def test_the_epsilon_of_a_layer_norm_must_be_said():
    with pytest.raises(TypeError, match="epsilon"):
        LayerNorm()


def test_fixed_norm_is_batch_norm_after_training():
    reference = torch.nn.BatchNorm1d(C).eval()
    scale, bias, mean = draw(C), draw(C), small(C)
    variance = 1e-5 * (1 + np.abs(draw(C)))  # of the size of epsilon
    values = {"weight": scale, "bias": bias, "running_mean": mean, "running_var": variance}
    reference.load_state_dict({k: torch.tensor(v) for k, v in values.items()}, strict=False)
    params = {"scale": scale, "bias": bias, "mean": mean, "variance": variance}
    x = mean + small(B * T, C)
    with torch.no_grad():
        want = reference(torch.tensor(x)).numpy()
    np.testing.assert_allclose(FixedNorm(1e-5).apply({"params": params}, jnp.asarray(x)), want, rtol=1e-4, atol=1e-4)
