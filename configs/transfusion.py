r"""Transfusion (arXiv:2408.11039): words in turn and a diffusion of latents in one Llama. It reads, draws, edits.

  ujx train --config configs/transfusion.py --workdir runs/transfusion          the tiny variant, on the shapes data
  ujx train --config configs/transfusion.py:v7b_unet --workdir runs/v7b_unet    the published sizes, for a TPU pod
  smoke:  --config configs/transfusion.py:debug

Sizes: its table 2, widths of the feed-forward layers as Llama has them; v7b_unet is the model of section 4.4. Of the
U-Net the sum of parameters is published, 0.27 B, and no width; those here come to about that. Codec: latents of 8
channels at an eighth of the sides, by the ladder of arXiv:2012.09841. Optimizer, weight of the diffusion, steps and
guidance_scale: section 4.1. Other patches: --config.published.config.patch_size=4. Small variants see pixels, not
latents, and draw in 50 steps. Scores: not measured yet.
"""

from functools import partial

from ml_collections import ConfigDict

from configs import published
from configs.published import DEBUG, TEXT, TINY, benchmarks, data, given, model, texts
from unified_jax.core.noise.times import level
from unified_jax.models.fusion import SCHEDULES
from unified_jax.objectives.diffusion import Diffusion
from unified_jax.objectives.next_token import NextToken

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

VAE = dict(
    _class_name="AutoencoderKL",
    in_channels=3,
    out_channels=3,
    latent_channels=8,
    block_out_channels=(128, 256, 512, 512),
    layers_per_block=2,
    norm_num_groups=32,
    act_fn="silu",
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    scaling_factor=1.0,  # that of the codec that is trained for it
)
UNET = dict(block_out_channels=(640, 1280), layers_per_block=2)
WORDS = dict(boi_token_id="<boi>", eoi_token_id="<eoi>")
PUBLISHED = dict(
    config=dict(
        model_type="transfusion",
        text_config=dict(model_type="llama", vocab_size=32_000, max_position_embeddings=4096),
        patch_size=2,
        image_size=256,
        schedule="squaredcos_cap_v2",
        **WORDS,
    ),
    generation_config=published.ENDS,
)


def sized(depth: int, width: int, heads: int, hidden: int, **config) -> dict:
    text = dict(
        num_hidden_layers=depth,
        hidden_size=width,
        num_attention_heads=heads,
        intermediate_size=hidden,
    )
    return dict(picture=256, config=dict(text_config=text, vae_config=VAE, **config))


def small(name: str, picture: int) -> dict:
    return dict(picture=picture, config=dict(text_config=TEXT[name], patch_size=8, image_size=picture))


VARIANTS = {
    "v0_16b": sized(16, 768, 12, 2048),
    "v0_37b": sized(24, 1024, 16, 2816),
    "v0_76b": sized(24, 1536, 24, 4096),
    "v1_4b": sized(24, 2048, 16, 5632),
    "v7b": sized(32, 4096, 32, 11_008),
    "v7b_unet": sized(32, 4096, 32, 11_008, unet_config=UNET),
    TINY: small(TINY, 32),
    DEBUG: small(DEBUG, 24),
}


def fused(path: str, arg: str | None, *, files: dict, variants: dict, lane: str) -> ConfigDict:
    """lane: of pictures."""
    drawing = dict(steps=250, guidance_scale=3.0)
    tasks = published.BOTH | published.EDITS
    c = published.base(path, arg, published=files, variants=variants, tasks=tasks, drawing=drawing)
    c.diffusion_weight, c.early = 5.0, 0.2  # of the pictures, those that words follow
    factor = 8 if "vae_config" in c.published.config else 1
    patches = (c.picture // (c.published.config.patch_size * factor)) ** 2
    streams = {"text": 128, "image": 2 * patches, "shown": 3 * patches}
    drawn = streams["image"] + streams["shown"]
    lanes = {"main": streams["text"] + drawn} if lane == "main" else {"main": streams["text"], lane: drawn}
    c.packing.layouts = (ConfigDict({"lanes": lanes, "streams": streams}),)
    if arg not in (TINY, DEBUG, None):
        c.optimizer.update(learning_rate=3e-4, warmup=4000, final=0.05, weight_decay=0.1)
        c.steps = 250_000
    elif arg != DEBUG:
        c.drawing.steps = 50
    return c


def get_config(arg=None):
    return fused("configs/transfusion.py", arg, files=PUBLISHED, variants=VARIANTS, lane="main")


def objectives(c):
    """Noise of the pictures that something follows is at most that of level 500 of 1000 (section 4.3.4)."""
    path = SCHEDULES[c.published.config.schedule].path
    half = lambda rng, shape: level(rng, shape, levels=500) / 2
    image = partial(Diffusion, path=path)
    return (
        NextToken("text"),
        image("image", weight=c.diffusion_weight * (1 - c.early)),
        image("shown", weight=c.diffusion_weight * c.early, time=half),
    )
