"""Rotary positions of published configs against transformers' and diffusers' own modules.

Their angles are float32 products of a position and a rate with some 1e-7 of relative error each, so their cosines are
off by up to 2e-7 per position; ours are not (``rope_test``). Rates are therefore compared by themselves, and cos and
sin within what the reference's rounding explains.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxPosEmbed
from transformers import (
    Glm4vConfig,
    GlmConfig,
    LlamaConfig,
    PersimmonConfig,
    PhiConfig,
    Qwen2VLConfig,
    Qwen3VLTextConfig,
)
from transformers.models.glm import modeling_glm as glm
from transformers.models.glm4v.modeling_glm4v import Glm4vTextRotaryEmbedding
from transformers.models.gptj import modeling_gptj as gptj
from transformers.models.llama import modeling_llama as llama
from transformers.models.persimmon.modeling_persimmon import PersimmonRotaryEmbedding
from transformers.models.phi.modeling_phi import PhiRotaryEmbedding
from transformers.models.qwen2_vl.configuration_qwen2_vl import Qwen2VLVisionConfig
from transformers.models.qwen2_vl.modeling_qwen2_vl import Qwen2VLRotaryEmbedding, Qwen2VLVisionRotaryEmbedding
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRotaryEmbedding

from unified_jax.models.decoders.rope_parameters import READERS, read_rope
from unified_jax.nn.rope import NEIGHBOURS, Rope, interleaved, rotate

T, HEADS, ORIGINAL, MAXIMUM = 1600, 2, 256, 1024
SIZES = {"hidden_size": 128, "num_attention_heads": HEADS, "max_position_embeddings": MAXIMUM}
RNG = np.random.default_rng(0)
DIVISORS = {"short_factor": [1.0 + 0.1 * i for i in range(32)], "long_factor": [1.0 + 0.9 * i for i in range(32)]}

SCALED = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 4.0},
    "dynamic": {"rope_type": "dynamic", "factor": 4.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": ORIGINAL},
    "yarn, every key": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": ORIGINAL,
        "beta_fast": 20.0,
        "beta_slow": 2.0,
        "truncate": False,
        "mscale": 1.0,
        "mscale_all_dim": 0.7,
    },
    "yarn, factor given": {
        "rope_type": "yarn",
        "factor": 2.0,
        "original_max_position_embeddings": ORIGINAL,
        "attention_factor": 1.25,
    },
    "longrope": {"rope_type": "longrope", "original_max_position_embeddings": ORIGINAL, **DIVISORS},
    "longrope, factor given": {
        "rope_type": "longrope",
        "original_max_position_embeddings": ORIGINAL,
        "factor": 8.0,
        "attention_factor": 1.5,
        **DIVISORS,
    },
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": ORIGINAL,
    },
    "proportional": {"rope_type": "proportional", "factor": 2.0, "partial_rotary_factor": 0.5},
}


def parameters(name: str) -> dict:
    return {"rope_theta": 500_000.0, **SCALED[name]}


def assert_same_tables(rotation, reference, pos, *, worst=2.5e-7):
    """cos and sin [T R/2] against the reference's [1 T R] in halves, within its own rounding at each position."""
    pairs = rotation.cos.shape[-1]
    bound = 2e-6 + worst * np.abs(pos).max(-1, initial=0)
    for found, expected in zip((rotation.cos, rotation.sin), reference, strict=True):
        expected = expected.numpy()[..., :pairs].reshape(found[0].shape)
        gap = np.abs(np.asarray(found[0]) - expected).max(-1)
        assert (gap <= bound).all(), f"worst {gap.max()} at {pos[gap.argmax()]}"


def sequence(length: int) -> np.ndarray:
    """Positions [T 3] of text: a sequence index alone."""
    return np.stack([np.arange(length), np.zeros(length, int), np.zeros(length, int)], -1)


def places(length: int) -> np.ndarray:
    """Positions [T 3] of pictures in text: three axes that grow differently."""
    index = np.arange(length)
    return np.stack([index // 9, index // 3 % 40 + 7, index % 50], -1)


def of(rope: Rope, pos: np.ndarray):
    return rope(jnp.asarray(pos[None], jnp.int32))


@pytest.fixture(scope="module")
def query() -> np.ndarray:
    return RNG.normal(size=(1, T, HEADS, 64)).astype(np.float32)


@pytest.mark.parametrize("length", [ORIGINAL - 56, T])
@pytest.mark.parametrize("name", SCALED)
def test_every_scaling_turns_queries_as_transformers_does_below_and_above_the_original_length(name, length, query):
    config = LlamaConfig(**SIZES, rope_parameters=parameters(name))
    reference = llama.LlamaRotaryEmbedding(config)
    ids = torch.arange(length)[None]
    cos_sin = reference(torch.zeros(1), ids)
    rope = read_rope(config.to_dict(), length=length)
    np.testing.assert_allclose(rope.table().rate, reference.inv_freq.numpy(), rtol=1e-6)
    rotation = of(rope, sequence(length))
    assert_same_tables(rotation, cos_sin, np.arange(length)[:, None])
    q = torch.from_numpy(query[:, :length])
    expected, _ = llama.apply_rotary_pos_emb(q, q, *cos_sin, unsqueeze_dim=2)
    found = np.asarray(rotate(jnp.asarray(query[:, :length]), rotation))
    assert np.abs(found - expected.numpy()).max() / np.abs(expected.numpy()).max() < 2e-4


@pytest.mark.parametrize(("name", "changes"), [("dynamic", True), ("longrope", True), ("yarn", False)])
def test_only_dynamic_and_longrope_depend_on_the_length(name, changes):
    config = LlamaConfig(**SIZES, rope_parameters=parameters(name)).to_dict()
    short, long, unsaid = (read_rope(config, length=length).table().rate for length in (ORIGINAL, 2 * MAXIMUM, None))
    assert (np.abs(short - long).max() > 1e-6) == changes
    np.testing.assert_array_equal(unsaid, short)


def test_every_published_type_is_compared():
    assert {parameters(name)["rope_type"] for name in SCALED} | {"mrope", "su"} == set(READERS)


@pytest.mark.parametrize(
    ("config", "module"),
    [
        (PhiConfig(**SIZES, partial_rotary_factor=0.5), PhiRotaryEmbedding),
        (PersimmonConfig(**SIZES, partial_rotary_factor=0.25, rope_theta=25_000.0), PersimmonRotaryEmbedding),
    ],
)
def test_partial_rotary_turns_the_first_channels_alone(config, module, query):
    cos_sin = module(config)(torch.zeros(1), torch.arange(T)[None])
    rope = read_rope(config.to_dict())
    turning = cos_sin[0].shape[-1]
    assert rope.rotary_dim == turning < 64
    q = torch.from_numpy(query)
    expected, _ = llama.apply_rotary_pos_emb(q[..., :turning], q[..., :turning], *cos_sin, unsqueeze_dim=2)
    expected = torch.cat([expected, q[..., turning:]], -1).numpy()
    found = np.asarray(rotate(jnp.asarray(query), of(rope, sequence(T))))
    assert np.abs(found - expected).max() / np.abs(expected).max() < 2e-4
    np.testing.assert_array_equal(found[..., turning:], query[..., turning:])


def test_neighbours_with_partial_rotary_as_in_glm(query):
    config = GlmConfig(**SIZES, head_dim=64)
    cos_sin = glm.GlmRotaryEmbedding(config)(torch.zeros(1), torch.arange(T)[None])
    q = torch.from_numpy(query)
    expected, _ = glm.apply_rotary_pos_emb(q, q, *cos_sin, unsqueeze_dim=2)
    rope = dataclasses.replace(read_rope(config.to_dict()), pairing=NEIGHBOURS)
    found = np.asarray(rotate(jnp.asarray(query), of(rope, sequence(T))))
    assert rope.rotary_dim == 32
    assert np.abs(found - expected.numpy()).max() / np.abs(expected.numpy()).max() < 2e-4


def test_neighbours_as_in_gptj(query):
    table = gptj.create_sinusoidal_positions(T, 64)[None]
    expected = gptj.apply_rotary_pos_emb(torch.from_numpy(query), table[..., :32], table[..., 32:]).numpy()
    found = np.asarray(rotate(jnp.asarray(query), of(Rope(64, pairing=NEIGHBOURS), sequence(T))))
    assert np.abs(found - expected).max() / np.abs(expected).max() < 2e-4


@pytest.mark.parametrize(
    "published",
    [
        {"rope_theta": 1e6, "rope_scaling": {"type": "mrope", "mrope_section": [8, 12, 12]}},
        {"rope_theta": 1e6, "rope_scaling": {**SCALED["yarn"], "mrope_section": [8, 12, 12]}},
    ],
)
def test_contiguous_sections_as_in_qwen2_vl(published):
    config = Qwen2VLConfig(text_config={**SIZES, **published}).text_config
    pos = places(T)
    cos_sin = Qwen2VLRotaryEmbedding(config)(torch.zeros(1), torch.from_numpy(pos.T[:, None]))
    for layout in ({**SIZES, **published}, config.to_dict()):
        assert_same_tables(of(read_rope(layout), pos), cos_sin, pos)


def test_contiguous_sections_of_partial_neighbours_as_in_glm4v():
    config = Glm4vConfig(
        text_config={
            **SIZES,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e4,
                "mrope_section": [4, 6, 6],
                "partial_rotary_factor": 0.5,
            },
        }
    ).text_config
    pos = places(T)
    cos, sin = Glm4vTextRotaryEmbedding(config)(torch.zeros(1), torch.from_numpy(pos.T[:, None]))
    rope = read_rope(config.to_dict())
    assert rope.rotary_dim == 32
    assert_same_tables(of(rope, pos), (cos[..., ::2], sin[..., ::2]), pos)


@pytest.mark.parametrize("sections", [[12, 10, 10], [11, 11, 10]])
def test_interleaved_sections_as_in_qwen3_vl(sections):
    published = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": sections, "mrope_interleaved": True}
    config = Qwen3VLTextConfig(**SIZES, head_dim=64, rope_parameters=published)
    pos = places(T)
    cos_sin = Qwen3VLTextRotaryEmbedding(config)(torch.zeros(1), torch.from_numpy(pos.T[:, None]))
    rope = read_rope(config.to_dict())
    assert rope.arrange is interleaved
    assert_same_tables(of(rope, pos), cos_sin, pos)


def test_separate_rows_and_columns_as_in_the_vision_tower_of_qwen2_vl():
    module = Qwen2VLVisionRotaryEmbedding(Qwen2VLVisionConfig(embed_dim=128, num_heads=2))
    pos = places(T)
    cos_sin = module(torch.zeros(1), torch.from_numpy(pos[:, 1:]))
    assert_same_tables(of(Rope(64, sections=(0, 16, 16)), pos), cos_sin, pos)


def test_separate_axes_of_neighbours_as_in_flux(query):
    cos_sin = FluxPosEmbed(10_000, [16, 24, 24])(torch.from_numpy(places(T)))
    expected = apply_rotary_emb(torch.from_numpy(query), cos_sin, sequence_dim=1).numpy()
    rope = Rope(64, sections=(8, 12, 12), pairing=NEIGHBOURS)
    found = np.asarray(jax.jit(lambda x: rotate(x, of(rope, places(T))))(query))
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-6


@pytest.mark.parametrize("name", [name for name in SCALED if name != "proportional"])
def test_the_older_layout_reads_the_same(name):
    older = {key: value for key, value in SCALED[name].items() if key != "rope_type"}
    older = {"type": SCALED[name]["rope_type"], **older}
    config = {**SIZES, "rope_theta": 500_000.0, "rope_scaling": older, "partial_rotary_factor": 1.0}
    newer = read_rope({**SIZES, "rope_parameters": parameters(name), "rope_theta": None})
    np.testing.assert_array_equal(read_rope(config).table().rate, newer.table().rate)
    assert read_rope(config).attention_factor == newer.attention_factor


def test_null_is_the_same_as_not_there():
    assert read_rope({**SIZES, "rope_theta": 1e5, "head_dim": None}).head_dim == 64
    config = {**SIZES, "rope_theta": 1e5, "rope_scaling": None, "head_dim": 48}
    assert read_rope(config) == dataclasses.replace(read_rope({**config, "rope_scaling": {}}), theta=1e5)
    assert read_rope(config).head_dim == 48


def test_parameters_listed_by_layer_type():
    by_layer = {"full_attention": parameters("linear"), "sliding_attention": {"rope_theta": 1e4}}
    config = {**SIZES, "rope_parameters": by_layer}
    assert read_rope(config, layer_type="sliding_attention").theta == 1e4
    assert read_rope(config, layer_type="full_attention").theta == 5e5
    with pytest.raises(ValueError, match="listed by layer type .*full_attention.* found layer_type None"):
        read_rope(config)


@pytest.mark.parametrize(
    ("published", "message"),
    [
        ({}, "no 'rope_theta'"),
        ({"rope_parameters": {"rope_type": "default"}}, "no 'rope_theta'"),
        ({"rope_theta": None}, "no 'rope_theta'"),
        ({"rope_theta": 1e4, "rope_scaling": {"type": "linear"}}, "no 'factor', which rope_type 'linear' needs"),
        ({"rope_theta": 1e4, "rope_scaling": {"type": "spiral"}}, "unknown rope_type 'spiral'; known are default, "),
        ({"rope_theta": 1e4, "rope_scaling": {"type": "dynamic", "factor": 1, "alpha": 9}}, "'alpha', which is not"),
        ({"rope_theta": 1e4, "rope_scaling": {"type": "su", **DIVISORS, "long_factor": [1.0]}}, "as many divisors"),
    ],
)
def test_what_a_config_must_say_is_never_assumed(published, message):
    with pytest.raises(ValueError, match=message):
        read_rope({**SIZES, **published}, length=T).table()
