"""Encoders at their published sizes, by shapes alone: the same tensors as the reference class, name by name."""

import math

import jax
import pytest
import torch
import transformers

from unified_jax.core.paths import path_name
from unified_jax.interop.rules import Faults, bound_rules
from unified_jax.models.pretrained import build_component

# What the published config.json says beside the class's defaults.
SIZES = {
    "openai/clip-vit-large-patch14": (
        transformers.CLIPVisionModel,
        dict(hidden_size=1024, intermediate_size=4096, num_attention_heads=16, num_hidden_layers=24, patch_size=14),
        303_179_776,
    ),
    "stable-diffusion-v1-5 text_encoder": (
        transformers.CLIPTextModel,
        dict(hidden_size=768, intermediate_size=3072, num_attention_heads=12),
        123_060_480,
    ),
    "stable-diffusion-xl text_encoder_2": (
        transformers.CLIPTextModel,
        dict(hidden_size=1280, intermediate_size=5120, num_attention_heads=20, num_hidden_layers=32, hidden_act="gelu"),
        None,
    ),
    "google/siglip-so400m-patch14-384": (
        transformers.SiglipVisionModel,
        dict(
            hidden_size=1152,
            intermediate_size=4304,
            num_attention_heads=16,
            num_hidden_layers=27,
            image_size=384,
            patch_size=14,
        ),
        428_225_600,
    ),
    "google/siglip2-so400m-patch16-naflex": (
        transformers.Siglip2VisionModel,
        dict(hidden_size=1152, intermediate_size=4304, num_attention_heads=16, num_hidden_layers=27),
        None,
    ),
    "facebook/dinov2-large": (
        transformers.Dinov2Model,
        dict(hidden_size=1024, num_attention_heads=16, num_hidden_layers=24, image_size=518),
        304_368_640,
    ),
    "facebook/dinov2-giant": (
        transformers.Dinov2Model,
        dict(hidden_size=1536, num_attention_heads=24, num_hidden_layers=40, image_size=518, use_swiglu_ffn=True),
        1_136_480_768,
    ),
    "facebook/dinov2-with-registers-base": (
        transformers.Dinov2WithRegistersModel,
        dict(image_size=518, patch_size=14),
        None,
    ),
    "Salesforce/blip2-opt-2.7b vision_model": (transformers.Blip2VisionModel, dict(), None),
    "Salesforce/blip2-opt-2.7b qformer": (transformers.Blip2QFormerModel, dict(), None),
    "google/t5-v1_1-xxl": (
        transformers.T5EncoderModel,
        dict(d_model=4096, d_ff=10240, num_heads=64, num_layers=24, feed_forward_proj="gated-gelu"),
        4_762_310_656,
    ),
    "google/umt5-xxl": (
        transformers.UMT5EncoderModel,
        dict(vocab_size=256384, d_model=4096, d_ff=10240, num_heads=64, num_layers=24),
        5_680_910_336,
    ),
}
RENAMED = ("Dinov2Model", "Dinov2WithRegistersModel")  # the reference renames their tensors when it reads them
TIED = "encoder.embed_tokens.weight"


@pytest.mark.parametrize("name", SIZES)
def test_tensors_are_those_of_the_reference(name):
    model, options, known = SIZES[name]
    config = model.config_class(**options)
    with torch.device("meta"):
        reference = model(config)
    component = build_component({"model_type": config.model_type, **options})
    shapes, faults = component.shapes(), Faults()
    flat = {path_name(where): leaf for where, leaf in jax.tree_util.tree_leaves_with_path(shapes)}
    bound = bound_rules(component.published.rules, flat, faults)
    faults.check(name)
    ours = {published: each.form.shape for each in bound for published in each.names.values()}
    theirs = {key: tuple(x.shape) for key, x in reference.state_dict().items() if key != TIED}
    count = sum(map(math.prod, ours.values()))
    assert count == sum(map(math.prod, theirs.values()))
    if known is not None:
        assert count == known
    if model.__name__ not in RENAMED:
        assert ours == theirs


@pytest.mark.parametrize("name", SIZES)
def test_defaults_are_the_reference_s_own(name):
    """A file that leaves everything out means what the reference's class without arguments means."""
    model = SIZES[name][0]
    config = model.config_class()
    ours = build_component({"model_type": config.model_type}).published.config
    theirs = config.to_dict()
    assert {key: theirs[key] for key in ours} == dict(ours)
