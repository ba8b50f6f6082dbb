r"""BAGEL (arXiv:2505.14683): a mixture of transformers that reads through SigLIP and draws flow-matched latents.

  ujx train --config configs/bagel.py --workdir runs/bagel               the tiny variant, on the shapes data
  ujx train --config configs/bagel.py:v1_7b --workdir runs/bagel_7b      the published sizes, for a TPU pod
  smoke:  --config configs/bagel.py:debug

It reads, draws and edits. Sizes: config.json, llm_config.json and vit_config.json of ByteDance-Seed/BAGEL-7B-MoT.
Weights of both losses: section 4 of the paper; steps, shift and guidance_scale: its inferencer.py. Scores: not measured
yet.
"""

from ml_collections import ConfigDict

from configs import published
from configs.published import DEBUG, TEXT, TINY, VISION, benchmarks, data, given, model, texts
from unified_jax.core.noise import Rectified, shift, uniform
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.next_token import NextToken

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

ADDED = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>")
PUBLISHED = dict(
    config=dict(
        model_type="bagel",
        latent_patch_size=2,
        max_latent_size=64,
        vit_max_num_patch_per_side=70,
        connector_act="gelu_pytorch_tanh",
        vae_config=dict(model_type="flux_autoencoder", z_channels=16, downsample=8),
    ),
    llm_config=dict(
        model_type="qwen2",
        vocab_size=152_064,
        hidden_act="silu",
        tie_word_embeddings=False,
        **published.QWEN_7B,
    ),
    vit_config=dict(
        model_type="siglip_vision_model",
        num_hidden_layers=27,
        image_size=980,
        hidden_act="gelu_pytorch_tanh",
        layer_norm_eps=1e-6,
        **published.SO400M,
    ),
)


def small(name: str, picture: int, multiplier: tuple[int, ...], width: int) -> dict:
    """A patch and a group of latents stand for the same 8 x 8 pixels."""
    vae = dict(
        ch=width,
        ch_mult=multiplier,
        num_res_blocks=1,
        z_channels=4,
        norm_num_groups=4,
        downsample=2 ** (len(multiplier) - 1),
        resolution=picture,
        scale_factor=1.0,  # that of the codec that is trained here
        shift_factor=0.0,
    )
    side = picture // 8
    return dict(
        picture=picture,
        config=dict(max_latent_size=side, vit_max_num_patch_per_side=side, vae_config=vae),
        llm_config=TEXT[name],
        vit_config=VISION[name] | dict(image_size=picture, patch_size=8),
    )


VARIANTS = {
    "v1_7b": dict(picture=512),
    TINY: small(TINY, 32, (1, 2, 2), 32),
    DEBUG: small(DEBUG, 24, (1, 1, 1), 4),
}


def rooms(c) -> dict[str, int]:
    """Entries of each stream in a row."""
    seen = (c.picture // c.published.vit_config.patch_size + 1) ** 2
    drawn = (c.picture // (c.published.config.vae_config.downsample * 2)) ** 2
    return {"text": 128, "vision": 2 * seen, "image": 3 * drawn}


def get_config(arg=None):
    c = published.base(
        "configs/bagel.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=published.BOTH | published.EDITS,
        drawing=dict(steps=49, shift=3.0, guidance_scale=4.0),
        added=ADDED,
    )
    streams = rooms(c)
    lanes = {"main": streams["text"] + streams["vision"], "picture": streams["image"]}
    c.packing.layouts = (ConfigDict({"lanes": lanes, "streams": streams}),)
    c.time_shift, c.image_weight = 3.0, 4.0
    return c


def objectives(c):
    time = lambda rng, shape: shift(uniform(rng, shape), c.time_shift)
    return NextToken("text"), Flow("image", weight=c.image_weight, path=Rectified(), time=time)
