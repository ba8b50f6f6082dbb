r"""Show-o2 (arXiv:2506.15564): one latent of a picture read twice, text in turn and pictures as a flow, one Qwen2.5.

  ujx train --config configs/show_o2.py --workdir runs/show_o2               the tiny variant, on the shapes data
  ujx train --config configs/show_o2.py:v2_7b --workdir runs/show_o2_7b      the published sizes, for a TPU pod
  smoke:  --config configs/show_o2.py:debug

Sizes: show-o2/configs of its repository (432 px; hq draws 512), config.json of Qwen2.5-1.5B and -7B-Instruct,
siglip-so400m-patch14-384 and Wan2.1. steps, shift and guidance_scale: the same configs; times: its
transport/transport.py. Given pictures are read without noise. Scores: not measured yet.
"""

from configs import published
from configs.published import DEBUG, TEXT, TINY, VISION, benchmarks, data, given, model, texts
from unified_jax.core.noise import logit_normal, shift
from unified_jax.core.noise.shifts import exponential
from unified_jax.models.show_o2 import PATH
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.next_token import NextToken

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]


def grid(side: int) -> dict[str, int]:
    return dict(image_latent_height=side, image_latent_width=side)


QWEN_1_5B = dict(
    hidden_size=1536,
    intermediate_size=8960,
    num_attention_heads=12,
    num_key_value_heads=2,
    tie_word_embeddings=True,
)
PUBLISHED = {
    "config": dict(
        _class_name="Showo2Qwen2_5",
        llm_vocab_size=151_669,
        image_latent_dim=16,
        patch_size=2,
        clip_latent_dim=1152,
        num_diffusion_layers=10,
        add_time_embeds=True,
        **grid(27),
    ),
    "llm/config": dict(model_type="qwen2", tie_word_embeddings=False, **published.QWEN_7B),
    "siglip/config": dict(vision_config=dict(num_hidden_layers=27, image_size=384, **published.SO400M)),
    "vae/config": dict(
        _class_name="AutoencoderKLWan",
        base_dim=96,
        dim_mult=(1, 2, 4, 4),
        num_res_blocks=2,
        temperal_downsample=(False, True, True),
        z_dim=16,
        latents_mean=(
            *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
            *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
        ),
        latents_std=(
            *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
            *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
        ),
    ),
}


def small(name: str, picture: int, *, patch: int, base: int, multiplier: tuple[int, ...]) -> dict:
    """An entry stands for 8 x 8 pixels. The flow head is as wide as the layers that read."""
    vision = VISION[name]
    width, heads = vision["hidden_size"], vision["num_attention_heads"]
    config = dict(llm_vocab_size=520, image_latent_dim=4, patch_size=patch, clip_latent_dim=width)
    return {
        "picture": picture,
        "config": config | grid(picture // 8) | dict(num_diffusion_layers=2),
        "llm/config": TEXT[name] | dict(tie_word_embeddings=True),
        "siglip/config": dict(vision_config=vision | dict(image_size=picture, patch_size=8)),
        "diffusion_head/config": dict(
            hidden_size=width,
            head_dim=width // heads,
            intermediate_size=vision["intermediate_size"],
            num_attention_heads=heads,
            num_key_value_heads=heads,
        ),
        "vae/config": dict(
            base_dim=base,
            dim_mult=multiplier,
            num_res_blocks=1,
            temperal_downsample=(False,) * (len(multiplier) - 1),
            z_dim=4,
            latents_mean=(0.0,) * 4,  # those of the codec that is trained here
            latents_std=(1.0,) * 4,
        ),
    }


VARIANTS = {
    "v2_1_5b": {"picture": 432, "llm/config": QWEN_1_5B},
    "v2_1_5b_hq": {"picture": 512, "config": grid(32), "llm/config": QWEN_1_5B},
    "v2_7b": {"picture": 432},
    TINY: small(TINY, 32, patch=2, base=32, multiplier=(1, 2, 2)),
    DEBUG: small(DEBUG, 24, patch=4, base=8, multiplier=(1, 1)),
}


def get_config(arg=None):
    c = published.base(
        "configs/show_o2.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=published.BOTH,
        drawing=dict(steps=49, shift=3.0, guidance_scale=5.0),
        special={"eos_token": "<|im_end|>"},
        added=("<|im_start|>", "<|vision_start|>", "<|vision_end|>"),
    )
    entries = c.published.config.image_latent_height**2
    c.packing.layouts = (published.layout(256, image=1 + entries),)
    c.time_shift = exponential(entries)
    return c


def objectives(c):
    time = lambda rng, shape: shift(logit_normal(rng, shape), c.time_shift)
    return NextToken("text"), Flow("image", path=PATH, time=time)
