r"""Qwen2.5-VL (arXiv:2502.13923): a tower of windows, 2 x 2 patches to an entry, and Qwen2.5. It reads pictures.

  ujx train --config configs/qwen2_5_vl.py --workdir runs/qwen2_5_vl            the tiny variant, on the shapes data
  ujx train --config configs/qwen2_5_vl.py:v2_5_7b --workdir runs/qwen2_5_vl_7b     the published sizes, for a TPU pod
  smoke:  --config configs/qwen2_5_vl.py:debug

Sizes: config.json and preprocessor_config.json of Qwen/Qwen2.5-VL-3B-Instruct and -7B-Instruct. Scores: not
measured yet.
"""

from configs import published
from configs.published import DEBUG, TEXT, TINY, VISION, benchmarks, data, given, model, objectives, texts

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

PLACE = "<|vision_start|><|image_pad|><|vision_end|>"


def rope(*sections: int) -> dict:
    """sections: how many pairs of channels of a head are turned by time, row and column."""
    return dict(rope_scaling=dict(type="mrope", mrope_section=sections))


PUBLISHED = dict(
    config=dict(
        model_type="qwen2_5_vl",
        image_token_id="<|image_pad|>",
        tie_word_embeddings=False,
        text_config=published.QWEN_7B
        | dict(model_type="qwen2_5_vl_text", vocab_size=152_064, max_position_embeddings=128_000, **rope(16, 24, 24)),
        vision_config=dict(
            model_type="qwen2_5_vl",
            hidden_size=1280,
            intermediate_size=3420,
            depth=32,
            num_heads=16,
            out_hidden_size=3584,
            patch_size=14,
            spatial_merge_size=2,
            temporal_patch_size=2,
            window_size=112,
            fullatt_block_indexes=(7, 15, 23, 31),
        ),
    ),
    preprocessor_config=dict(
        image_processor_type="Qwen2VLImageProcessor",
        patch_size=14,
        merge_size=2,
        min_pixels=56 * 56,
        max_pixels=28 * 28 * 16_384,
    ),
    generation_config=published.ENDS,
)
QWEN_3B = dict(
    vocab_size=151_936,
    hidden_size=2048,
    intermediate_size=11_008,
    num_hidden_layers=36,
    num_attention_heads=16,
    num_key_value_heads=2,
)


def small(name: str, picture: int, sections: tuple[int, int, int]) -> dict:
    """8 x 8 pixels to an entry, 2 x 2 entries to a window; the last layer sees all of a picture."""
    text, body = TEXT[name], VISION[name]
    vision = dict(
        hidden_size=body["hidden_size"],
        intermediate_size=body["intermediate_size"],
        depth=body["num_hidden_layers"],
        num_heads=body["num_attention_heads"],
        out_hidden_size=text["hidden_size"],
        patch_size=4,
        window_size=16,
        fullatt_block_indexes=(body["num_hidden_layers"] - 1,),
    )
    area = picture * picture
    return dict(
        picture=picture,
        config=dict(text_config=text | rope(*sections), vision_config=vision),
        preprocessor_config=dict(patch_size=4, min_pixels=area, max_pixels=area),
    )


VARIANTS = {
    "v2_5_3b": dict(
        picture=448,
        config=dict(tie_word_embeddings=True, text_config=QWEN_3B, vision_config=dict(out_hidden_size=2048)),
    ),
    "v2_5_7b": dict(picture=448),
    TINY: small(TINY, 32, (4, 6, 6)),
    DEBUG: small(DEBUG, 24, (2, 3, 3)),
}


def get_config(arg=None):
    c = published.base(
        "configs/qwen2_5_vl.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=published.READS,
        added=("<|vision_start|>", "<|image_pad|>", "<|vision_end|>"),
        template=published.TURNS.replace("<image>\n", PLACE),
    )
    vision = c.published.config.vision_config
    side = c.picture // (vision.patch_size * vision.spatial_merge_size)
    c.packing.layouts = (published.layout(160, vision=side**2),)
    return c
