"""The config's name for attention changes speed and memory, not what is computed."""

from functools import partial

import jax
import numpy as np
import pytest

from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import Span
from unified_jax.models.decoders.rope_parameters import read_rope
from unified_jax.models.pretrained import build_published, parameters
from unified_jax.models.transfusion import transfusion
from unified_jax.sampling.generate import generate

OPTIONS = dict(width=32, depth=2, num_heads=4, num_kv_heads=2, hidden=32, patch=4, image_size=(8, 8))
DOCUMENT = Document([Text("a red circle"), Image(np.full((8, 8, 3), 90, np.uint8), target=True), Text("blue", True)])


@pytest.fixture(scope="module")
def system(tokenizer):
    make = lambda attention: transfusion(tokenizer, attention=attention, **OPTIONS)
    params = jax.jit(partial(parameters, make("reference")))(jax.random.key(0))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    return make, tree.unflatten([x + 0.2 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys)])


def test_tiles_predict_what_the_reference_predicts(system):
    make, params = system
    found = {}
    for name in ("reference", "chunked", "auto"):
        model = make(name)
        layout = Layout({"main": 48}, {"text": 40, "image": 8})
        seq = pack([[model.family.plan(DOCUMENT)]] * 2, model.family.streams, layout)
        found[name] = jax.jit(partial(model.apply, method="predict"))({"params": params}, seq)
    for name in ("chunked", "auto"):
        jax.tree.map(partial(np.testing.assert_allclose, atol=2e-5), found[name], found["reference"])


def test_tiles_write_against_the_cache_what_the_reference_writes(system):
    make, params = system
    write = lambda name: generate(make(name), params, [*DOCUMENT[:2], Text(target=True)], max_tokens=12)[-1].values
    np.testing.assert_array_equal(write("chunked"), write("reference"))


def test_a_published_decoder_takes_the_same_choices():
    config = {
        "model_type": "gemma2",
        **dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8),
        **dict(intermediate_size=32, vocab_size=64, rms_norm_eps=1e-6, hidden_activation="gelu_pytorch_tanh"),
        **dict(query_pre_attn_scalar=8, attn_logit_softcapping=5.0, final_logit_softcapping=3.0, sliding_window=6),
        **dict(layer_types=["sliding_attention", "full_attention"], rope_theta=1e4, max_position_embeddings=64),
    }
    row = np.arange(48, dtype=np.int32)
    found = {}
    for name in ("reference", "chunked"):
        model = build_published(config, ChatTokenizer(None), attention=name, remat="full", unroll=2)
        seq = pack([[[Span((("text", row),))]]], model.family.streams, Layout({"main": 48}, {"text": 48}))
        params = parameters(model, jax.random.key(0))
        found[name] = jax.jit(partial(model.apply, method="predict"))({"params": params}, seq)["text"]
    np.testing.assert_allclose(found["chunked"], found["reference"], atol=2e-5)
    with pytest.raises(ValueError, match="unknown attention 'flash'"):
        build_published(config, ChatTokenizer(None), attention="flash")


def test_an_unknown_name_is_refused_with_the_known_ones(system):
    with pytest.raises(ValueError, match="unknown attention 'flash'; choose one of reference, chunked, flash_tpu"):
        system[0]("flash")


def test_a_published_decoder_is_told_how_long_its_sequences_become():
    config = {
        "model_type": "llama",
        **dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, vocab_size=64),
        **dict(rms_norm_eps=1e-6, hidden_act="silu", max_position_embeddings=64),
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0},
    }
    build = lambda **choices: build_published(config, ChatTokenizer(None), **choices)
    rates = [build(length=n).backbone.rope.table().rate for n in (64, 256)]
    for found, n in zip(rates, (64, 256)):
        np.testing.assert_array_equal(found, read_rope(config, length=n).table().rate)
    np.testing.assert_array_equal(build().backbone.rope.table().rate, rates[0])
    assert rates[1][-1] < rates[0][-1] / 2 and build(length=256).family.published.config == config
