r"""LLaVA-OneVision (arXiv:2408.03326): SigLIP, two affine maps and Qwen2. It reads pictures, small and in tiles.

  ujx train --config configs/llava_onevision.py --workdir runs/onevision          the tiny variant, on the shapes data
  ujx train --config configs/llava_onevision.py:ov_7b --workdir runs/onevision_7b     the published sizes, for a TPU pod
  smoke:  --config configs/llava_onevision.py:debug

Sizes: config.json and preprocessor_config.json of llava-hf/llava-onevision-qwen2-0.5b-ov-hf and -7b-ov-hf. Scores: not
measured yet.
"""

from configs import published
from configs.published import DEBUG, TEXT, TINY, VISION, benchmarks, data, given, model, objectives, texts

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]


def tiled(side: int, most: int) -> tuple[tuple[int, int], ...]:
    """All heights and widths of up to so many tiles."""
    return tuple((side * rows, side * columns) for rows in range(1, most + 1) for columns in range(1, most + 1))


QWEN_0_5B = dict(
    vocab_size=152_000,
    hidden_size=896,
    intermediate_size=4864,
    num_hidden_layers=24,
    num_attention_heads=14,
    num_key_value_heads=2,
)
PUBLISHED = dict(
    config=dict(
        model_type="llava_onevision",
        image_token_index="<image>",
        image_grid_pinpoints=tiled(384, 6),
        tie_word_embeddings=False,
        text_config=dict(model_type="qwen2", vocab_size=152_128, **published.QWEN_7B),
        vision_config=dict(
            model_type="siglip_vision_model",
            num_hidden_layers=26,
            image_size=384,
            vision_use_head=False,
            **published.SO400M,
        ),
    ),
    preprocessor_config=dict(
        image_processor_type="LlavaOnevisionImageProcessor",
        size=published.sides(384),
        image_grid_pinpoints=tiled(384, 6),
        image_mean=published.HALF,
        image_std=published.HALF,
    ),
    generation_config=published.ENDS,
)


def small(name: str, picture: int) -> dict:
    """Four tiles of 2 x 2 patches to a picture."""
    tile = picture // 2
    vision = VISION[name] | dict(image_size=tile, patch_size=tile // 2)
    config = dict(image_grid_pinpoints=tiled(tile, 2), text_config=TEXT[name], vision_config=vision)
    seen = dict(size=published.sides(tile), image_grid_pinpoints=tiled(tile, 2))
    return dict(picture=picture, config=config, preprocessor_config=seen)


VARIANTS = {
    "ov_0_5b": dict(picture=768, config=dict(tie_word_embeddings=True, text_config=QWEN_0_5B)),
    "ov_7b": dict(picture=768),
    TINY: small(TINY, 32),
    DEBUG: small(DEBUG, 24),
}


def get_config(arg=None):
    c = published.base(
        "configs/llava_onevision.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=published.READS,
        added=("<image>",),
        template=published.TURNS,
    )
    vision = c.published.config.vision_config
    patches = vision.image_size // vision.patch_size  # to a side of a tile
    together = patches * c.picture // vision.image_size
    c.packing.layouts = (published.layout(160, vision=patches**2 + together * (together + 1)),)
    return c
