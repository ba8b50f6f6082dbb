"""Denoisers at their published sizes, by shapes alone: the same tensors as the reference class, name by name."""

import json
import math

import diffusers
import jax
import pytest
import torch

from unified_jax.interop import convert
from unified_jax.models.pretrained import build_component

# What the published config.json says beside the class's defaults, and the number of parameters.
SD3 = dict(num_layers=24, num_attention_heads=24, caption_projection_dim=1536, pos_embed_max_size=192)
LARGE = dict(num_layers=38, num_attention_heads=38, caption_projection_dim=2432, qk_norm="rms_norm")
SIZES = {
    "facebook/DiT-XL-2-256": (diffusers.DiTTransformer2DModel, dict(out_channels=8), 674_834_720),
    "PixArt-alpha/PixArt-XL-2-1024-MS": (diffusers.PixArtTransformer2DModel, dict(caption_channels=4096), 611_349_152),
    "stabilityai/stable-diffusion-3-medium": (diffusers.SD3Transformer2DModel, SD3, 2_084_951_104),
    "stabilityai/stable-diffusion-3.5-medium": (
        diffusers.SD3Transformer2DModel,
        SD3 | dict(pos_embed_max_size=384, qk_norm="rms_norm", dual_attention_layers=tuple(range(13))),
        2_469_663_936,
    ),
    "stabilityai/stable-diffusion-3.5-large": (
        diffusers.SD3Transformer2DModel,
        SD3 | LARGE,
        8_146_280_768,
    ),
    "black-forest-labs/FLUX.1-dev": (diffusers.FluxTransformer2DModel, dict(guidance_embeds=True), 11_901_408_320),
    "Qwen/Qwen-Image": (diffusers.QwenImageTransformer2DModel, dict(), 20_430_401_088),
    "Alpha-VLLM/Lumina-Image-2.0": (diffusers.Lumina2Transformer2DModel, dict(cap_feat_dim=2304), 2_609_769_152),
}


@pytest.mark.parametrize("name", SIZES)
def test_published_sizes_have_the_published_names_and_shapes(name):
    model, options, count = SIZES[name]
    with torch.device("meta"):
        reference = model(**options)
    component = build_component(json.loads(reference.to_json_string()))
    ours = convert.export(component.shapes(), rules=component.published.rules)
    theirs = {name: tuple(x.shape) for name, x in reference.state_dict().items()}
    assert {name: tuple(x.shape) for name, x in ours.items()} == theirs
    assert sum(math.prod(x.shape) for x in jax.tree.leaves(component.shapes())) == count
