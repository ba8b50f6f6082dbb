r"""Skywork UniPic (arXiv:2508.03320): a language model between the two ends of a MAR, which reads and draws latents.

  ujx train --config configs/unipic.py --workdir runs/unipic                the tiny variant, on the shapes data
  ujx train --config configs/unipic.py:v1_1_5b --workdir runs/unipic_1_5b   the published sizes, for a TPU pod
  smoke:  --config configs/unipic.py:debug

Sizes: UniPic-1/configs/models/qwen2_5_1_5b_kl16_mar_h.py of its repository, and config.json of Qwen2.5-1.5B-Instruct;
steps, guidance_scale and image_temperature: its text2image.py. Scores: not measured yet.
"""

from configs import published
from configs.published import DEBUG, TEXT, TINY, benchmarks, data, given, model, texts
from unified_jax.models.mar_network import PATH
from unified_jax.objectives.masked_diffusion import MaskedDiffusion
from unified_jax.objectives.next_token import NextToken

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

PUBLISHED = dict(
    config=dict(
        model_type="unipic",
        image_size=1024,
        vae_scale=0.2325,
        vae=dict(ch=128, ch_mult=(1, 1, 2, 2, 4), num_res_blocks=2, norm_num_groups=32),
        mar=dict(
            img_size=512,
            vae_stride=16,
            patch_size=1,
            vae_embed_dim=16,
            encoder_embed_dim=1280,
            encoder_depth=20,
            encoder_num_heads=16,
            decoder_embed_dim=1280,
            decoder_depth=20,
            decoder_num_heads=16,
            mlp_ratio=4.0,
            class_num=1000,
            buffer_size=64,
            diffloss_d=12,
            diffloss_w=1536,
            num_sampling_steps="100",
        ),
        llm=dict(
            model_type="qwen2",
            vocab_size=151_936,
            hidden_size=1536,
            intermediate_size=8960,
            num_hidden_layers=28,
            num_attention_heads=12,
            num_key_value_heads=2,
            hidden_act="silu",
            max_position_embeddings=32_768,
            rms_norm_eps=1e-6,
            rope_theta=1_000_000.0,
            tie_word_embeddings=True,
        ),
    ),
)


def small(
    name: str, picture: int, *, base: int, multiplier: tuple[int, ...], width: int, depth: int, **mar: int
) -> dict:
    """base, multiplier: channels of the codec. width, depth: of both ends of the MAR."""
    heads = TEXT[name]["num_attention_heads"]
    for end in ("encoder", "decoder"):
        mar |= {f"{end}_embed_dim": width, f"{end}_depth": depth, f"{end}_num_heads": heads}
    stride = 2 ** (len(multiplier) - 1)
    return dict(
        picture=picture,
        config=dict(
            image_size=picture,
            vae_scale=1.0,  # that of the codec that is trained here
            vae=dict(ch=base, ch_mult=multiplier, num_res_blocks=1, norm_num_groups=4),
            mar=dict(img_size=picture, vae_stride=stride, vae_embed_dim=4, class_num=1, **mar),
            llm=TEXT[name],
        ),
    )


VARIANTS = {
    "v1_1_5b": dict(picture=1024),
    TINY: small(
        TINY, 32, multiplier=(1, 2, 2), base=32, width=192, depth=3, diffloss_d=3, diffloss_w=256, buffer_size=8
    ),
    DEBUG: small(
        DEBUG, 24, multiplier=(1, 1, 1), base=4, width=16, depth=1, diffloss_d=1, diffloss_w=16, buffer_size=2
    ),
}


def get_config(arg=None):
    c = published.base(
        "configs/unipic.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=published.BOTH,
        drawing=dict(steps=32, guidance_scale=3.0, image_temperature=1.0),
        special={"eos_token": "<|im_end|>"},
        added=("<|im_start|>",),
    )
    mar = c.published.config.mar
    entries = (c.picture // mar.vae_stride) ** 2 + mar.buffer_size
    c.packing.layouts = (published.layout(160, image=entries),)
    return c


def objectives(c):
    return NextToken("text"), MaskedDiffusion("image", path=PATH)
