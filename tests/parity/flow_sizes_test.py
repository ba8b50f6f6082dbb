"""JanusFlow and Show-o2 at their published sizes, by shapes alone.

No package has a class of either, so what they hold is counted from classes of their parts and, for what lies between,
from the products that their repositories describe.
"""

import math
from collections.abc import Callable
from typing import Any

import diffusers
import jax
import pytest
import torch
import transformers

from unified_jax.data.chat import ChatTokenizer
from unified_jax.models.pretrained import build_published, parameters
from unified_jax.models.published import Beside

SDXL = dict(
    down_block_types=["DownEncoderBlock2D"] * 4,
    up_block_types=["UpDecoderBlock2D"] * 4,
    block_out_channels=[128, 256, 512, 512],
    layers_per_block=2,
    latent_channels=4,
    scaling_factor=0.13025,
    norm_num_groups=32,
    act_fn="silu",
    out_channels=3,
)
SO400M = dict(hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16, patch_size=14)
LARGE = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=16)
QWEN = {  # width, hidden, depth, heads, key heads, tied
    "showlab/show-o2-1.5B": (1536, 8960, 28, 12, 2, True),
    "showlab/show-o2-7B": (3584, 18944, 28, 28, 4, False),
}
VOCAB = 151_669  # Qwen2.5's words and four that are added


def held(make: Callable[[], torch.nn.Module]) -> int:
    """Numbers in a reference class."""
    with torch.device("meta"):
        return sum(x.numel() for x in make().parameters())


def dense(inputs: int, *outputs: int) -> int:
    """Of affine maps one after another."""
    return sum(a * b + b for a, b in zip((inputs, *outputs), outputs))


def ours(config: dict, files: dict) -> dict[str, int]:
    """By piece; no class of ours is asked for more than shapes."""
    model = build_published(config, Beside(ChatTokenizer(None, stop=(1,)), files=files))
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    return {name: sum(math.prod(x.shape) for x in jax.tree.leaves(tree)) for name, tree in shapes.items()}


def janusflow() -> tuple[dict, dict, int]:
    text = dict(hidden_size=2048, intermediate_size=5632, num_hidden_layers=24, num_attention_heads=16)
    text = text | dict(vocab_size=102_400, rms_norm_eps=1e-6)
    params: dict[str, Any] = dict(layers_in_middle=2, norm_eps=1e-6, block_out_channels=[768])
    before = params | dict(stride=2, kernel_size=2, padding=0, hidden_size=2048)
    tower = dict(model_name="siglip_large_patch16_384", image_size=384, select_layer=-1)
    config = {
        "model_type": "multi_modality",
        "language_config": {"model_type": "llama", **text},
        "vision_und_enc_config": {"params": tower},
        "vision_gen_enc_config": {"params": before},
        "vision_gen_dec_config": {"params": params | dict(upsamples=1)},
    }

    def block(width: int) -> int:
        depthwise, norms = 49 * width + width, width + 2 * 4 * width
        return depthwise + norms + dense(width, 4 * width, width) + dense(2048, 2 * width)

    seen = held(lambda: transformers.SiglipVisionModel(transformers.SiglipVisionConfig(image_size=384, **LARGE)))
    enters = dense(16, 768) + dense(768, 2048, 2048) + 2 * block(768) + dense(768, 2048)
    leaves = 2048 + dense(2048, 768) + 768 + 2 * block(1536) + 1536 + dense(1536, 16)
    words = held(lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**text)))
    return (
        config,
        {"vae/config.json": SDXL},
        (words + seen + dense(1024, 2048) + 2048 + enters + leaves),
    )


def show_o2(name: str) -> tuple[dict, dict, int]:
    width, hidden, depth, heads, kv_heads, tied = QWEN[name]
    text = dict(hidden_size=width, intermediate_size=hidden, num_hidden_layers=depth, num_attention_heads=heads)
    text = text | dict(num_key_value_heads=kv_heads, tie_word_embeddings=tied, rms_norm_eps=1e-6, rope_theta=1e6)
    config = {
        "_class_name": "Showo2Qwen2_5",
        "llm_vocab_size": VOCAB,
        "image_latent_dim": 16,
        "image_latent_height": 27,
        "image_latent_width": 27,
        "patch_size": 2,
        "clip_latent_dim": 1152,
        "num_diffusion_layers": 10,
        "add_time_embeds": True,
    }
    video = dict(diffusers.AutoencoderKLWan(base_dim=8, dim_mult=[1, 1], temperal_downsample=[False]).config)
    files = {
        "llm/config.json": {"model_type": "qwen2", **text},
        "siglip/config.json": {"vision_config": {"image_size": 384, **SO400M}},
        "vae/config.json": video,
    }
    qwen = transformers.Qwen2Config(**text, vocab_size=VOCAB)
    words = held(lambda: transformers.Qwen2ForCausalLM(qwen))
    vision = transformers.SiglipVisionConfig(image_size=384, **{**SO400M, "num_hidden_layers": 26})
    layers = held(lambda: transformers.SiglipVisionModel(vision).encoder) + 729 * 1152
    reads = dense(64, 1152) + dense(64, width) + (1152 + width) + dense(1152 + width, width, width)
    attention = 2048 * 2048 * 2 + 2048 * 512 * 2 + 2 * 64
    layer = attention + 3 * 2048 * 8192 + 2 * 2048 + dense(2048, 6 * 2048)
    head = dense(width, 2048, 2048) + 10 * layer + 2048 + dense(2048, 2 * 2048) + dense(2048, 64)
    return config, files, words + layers + reads + head + dense(256, 2048, 2048) + dense(2048, width)


@pytest.mark.parametrize("name", ["deepseek-ai/JanusFlow-1.3B", *QWEN])
def test_as_many_numbers_as_are_published(name):
    config, files, want = janusflow() if "Janus" in name else show_o2(name)
    found = ours(config, files)
    codec = found.pop("codec")
    assert sum(found.values()) == want
    if "Janus" in name:
        assert codec == held(lambda: diffusers.AutoencoderKL(**SDXL))
