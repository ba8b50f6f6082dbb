"""The small pieces against plain numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unified_jax.core.sequence import Payload
from unified_jax.nn.dense import Dense
from unified_jax.nn.embed import Latents, Tokens, sincos
from unified_jax.nn.head import Linear, Tied
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.norm import RMSNorm

RNG = np.random.default_rng(0)


def draw(*shape):
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


CLOSE = dict(rtol=2e-5, atol=2e-5)


def payload(values, time=None) -> Payload:
    shape = values.shape[:2]
    zeros = np.zeros(shape, np.int32)
    time = np.zeros(shape, np.float32) if time is None else time
    ones = np.ones(shape, np.float32)
    return jax.tree.map(jnp.asarray, Payload(values, slot=zeros, read=zeros, unit=zeros, time=time, weight=ones))


@pytest.mark.parametrize(
    ("shape", "features", "axes", "formula"),
    [
        ((2, 3, 8), 5, 1, "btd,df->btf"),
        ((2, 3, 8), (4, 6), 1, "btd,dhc->bthc"),
        ((2, 3, 4, 6), 8, 2, "bthc,hcd->btd"),
    ],
)
def test_dense_is_a_contraction_over_the_last_axes(shape, features, axes, formula):
    x = draw(*shape)
    module = Dense(features, axes=axes, use_bias=True)
    params = module.init(jax.random.key(0), x)["params"]
    params["bias"] = params["bias"] + 0.5
    expected = np.einsum(formula, x, params["kernel"]) + 0.5
    np.testing.assert_allclose(module.apply({"params": params}, x), expected, **CLOSE)


def test_dense_starts_with_outputs_as_large_as_its_inputs():
    x = draw(512, 8, 32)
    y, _ = Dense(256, axes=2).init_with_output(jax.random.key(0), x)
    assert 0.9 < float(jnp.std(y)) < 1.1


def test_rms_norm():
    x = 7 * draw(2, 3, 16)
    params = {"scale": jnp.linspace(0.5, 2, 16)}
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * np.linspace(0.5, 2, 16)
    np.testing.assert_allclose(RMSNorm().apply({"params": params}, x), expected, **CLOSE)


def test_rms_norm_of_large_bfloat16_does_not_overflow():
    x = jnp.full((1, 4), 3e38, jnp.bfloat16)
    y = RMSNorm().apply({"params": {"scale": jnp.ones(4)}}, x / 1e20)
    np.testing.assert_allclose(y.astype(jnp.float32), 1.0, rtol=1e-2)
    assert y.dtype == jnp.bfloat16


def test_gated_mlp():
    x = draw(2, 3, 8)
    module = GatedMlp(12)
    params = module.init(jax.random.key(0), x)["params"]
    gate, up, down = (np.asarray(params[name]["kernel"]) for name in ("gate", "up", "down"))
    a = x @ gate
    np.testing.assert_allclose(module.apply({"params": params}, x), (a / (1 + np.exp(-a)) * (x @ up)) @ down, **CLOSE)


def test_a_tied_head_reads_the_table_backwards():
    tokens = Tokens(vocab=11, width=6, multiplier=3.0)
    ids = payload(np.array([[1, 4, 10]], np.int32))
    params = tokens.init(jax.random.key(0), ids, jnp.zeros((1, 3, 3), jnp.int32))["params"]
    table = np.asarray(params["table"])
    np.testing.assert_allclose(
        tokens.apply({"params": params}, ids, jnp.zeros((1, 3, 3), jnp.int32)), 3 * table[[[1, 4, 10]]], **CLOSE
    )
    states = draw(1, 2, 6)
    logits = Tied(tokens.clone(parent=None)).apply({"params": {"tokens": params}}, states)
    np.testing.assert_allclose(logits, states @ table.T, **CLOSE)


def test_the_frequencies_of_sincos_fall_from_one_to_the_inverse_period():
    y = np.asarray(sincos(jnp.asarray([0.0, 0.25]), 8, scale=1.0, period=100.0))
    rate = 100.0 ** (-np.arange(4) / 4)
    np.testing.assert_allclose(y[0], [1] * 4 + [0] * 4, **CLOSE)
    np.testing.assert_allclose(y[1], np.concatenate([np.cos(0.25 * rate), np.sin(0.25 * rate)]), **CLOSE)


def test_latents_tell_places_and_times_apart():
    module = Latents(width=16, grid=(2, 3))
    values = np.ones((1, 6, 4), np.float32)
    rows, columns = np.divmod(np.arange(6), 3)
    pos = jnp.asarray(np.stack([np.zeros(6), rows, columns], -1)[None], jnp.int32)
    params = module.init(jax.random.key(0), payload(values), pos)["params"]
    at = lambda time: np.asarray(
        module.apply({"params": params}, payload(values, np.full((1, 6), time, np.float32)), pos)
    )
    gaps = np.abs(at(0.0)[0, :, None] - at(0.0)[0, None]).max(-1) + np.eye(6)
    assert gaps.min() > 0.1
    moved = at(0.7) - at(0.0)
    assert np.abs(moved).min(-1).max() > 0 and np.allclose(moved, moved[:, :1], atol=1e-5)


def test_a_linear_head_can_start_at_zero():
    states = draw(1, 2, 6)
    y, _ = Linear(4, zero=True).init_with_output(jax.random.key(0), states)
    np.testing.assert_array_equal(y, np.zeros((1, 2, 4)))
