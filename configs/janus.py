r"""Janus and Janus-Pro (arXiv:2410.13848, 2501.17811): SigLIP to read, codes of LlamaGen's VQ to draw, one Llama.

  ujx train --config configs/janus.py --workdir runs/janus              the tiny variant, on the shapes data
  ujx train --config configs/janus.py:pro_7b --workdir runs/janus_7b    the published sizes, for a TPU pod
  smoke:  --config configs/janus.py:debug

Sizes: config.json of deepseek-community/Janus-Pro-1B and -7B; Janus-1.3B has those of the first. guidance_scale:
2501.17811, section 3.3. Scores: not measured yet.
"""

from configs import published
from configs.published import DEBUG, HALF, TEXT, TINY, VISION, benchmarks, data, given, model, texts
from unified_jax.objectives.next_token import NextToken

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

DEEPSEEK_1B = dict(hidden_size=2048, intermediate_size=5632, num_hidden_layers=24, num_attention_heads=16)
DEEPSEEK_7B = dict(hidden_size=4096, intermediate_size=11008, num_hidden_layers=30, num_attention_heads=32)
PUBLISHED = dict(
    config=dict(
        model_type="janus",
        image_token_id="<image>",
        tie_word_embeddings=False,
        text_config=dict(model_type="llama", vocab_size=102_400, max_position_embeddings=16_384, **DEEPSEEK_7B),
        vision_config=dict(
            model_type="janus_vision_model",
            hidden_size=1024,
            num_hidden_layers=24,
            num_attention_heads=16,
            mlp_ratio=4.0,
            image_size=384,
            patch_size=16,
            projection_dim=4096,
        ),
        vq_config=dict(
            model_type="janus_vqgan",
            base_channels=128,
            channel_multiplier=(1, 1, 2, 2, 4),
            num_res_blocks=2,
            latent_channels=256,
            num_embeddings=16_384,
            embed_dim=8,
            projection_dim=4096,
            image_token_embed_dim=4096,
        ),
    ),
    preprocessor_config=dict(
        image_processor_type="JanusImageProcessor",
        size=published.sides(384),
        image_mean=HALF,
        image_std=HALF,
    ),
    generation_config=published.ENDS,
)


def config(text: dict, *, vision: dict | None = None, codes: dict | None = None) -> dict:
    """What differs; the aligners are as wide as the text side."""
    width = text["hidden_size"]
    return dict(
        text_config=text,
        vision_config=dict(projection_dim=width, **(vision or {})),
        vq_config=dict(projection_dim=width, image_token_embed_dim=width, **(codes or {})),
    )


def small(name: str, picture: int, multiplier: tuple[int, ...], **codes: int) -> dict:
    """A patch and a code stand for the same square of pixels."""
    vision = {key: value for key, value in VISION[name].items() if key != "intermediate_size"}
    vision |= dict(mlp_ratio=2.0, image_size=picture, patch_size=2 ** (len(multiplier) - 1))
    codes |= dict(channel_multiplier=multiplier, num_res_blocks=1, base_channels=32)
    return dict(
        picture=picture,
        config=config(TEXT[name], vision=vision, codes=codes),
        preprocessor_config=dict(size=published.sides(picture)),
    )


VARIANTS = {
    "v1_1b": dict(picture=384, config=config(DEEPSEEK_1B)),
    "pro_1b": dict(picture=384, config=config(DEEPSEEK_1B)),
    "pro_7b": dict(picture=384, config=config(DEEPSEEK_7B)),
    TINY: small(TINY, 32, (1, 2, 2), num_embeddings=512, latent_channels=64),
    DEBUG: small(DEBUG, 24, (1, 1, 1), num_embeddings=32, latent_channels=32),
}


def get_config(arg=None):
    c = published.base(
        "configs/janus.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=published.BOTH,
        drawing=dict(guidance_scale=5.0, image_temperature=1.0),
        added=("<image>",),
        template=published.TURNS,
    )
    entries = (c.picture // c.published.config.vision_config.patch_size) ** 2
    c.packing.layouts = (published.layout(160, vision=entries, image=entries),)
    return c


def objectives(c):
    return NextToken("text"), NextToken("image")
