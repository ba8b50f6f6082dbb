r"""LLaVA 1.5 (arXiv:2310.03744): CLIP, two affine maps and Vicuna. It reads pictures.

  ujx train --config configs/llava.py --workdir runs/llava               the tiny variant, on the shapes data
  ujx train --config configs/llava.py:v1_5_7b --workdir runs/llava_7b    the published sizes, for a TPU pod
  smoke:  --config configs/llava.py:debug

Sizes: config.json and preprocessor_config.json of llava-hf/llava-1.5-7b-hf and -13b-hf. Scores: not measured yet.
"""

from configs import published
from configs.published import DEBUG, TEXT, TINY, VISION, benchmarks, data, given, model, objectives, texts

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]


PUBLISHED = dict(
    config=dict(
        model_type="llava",
        image_token_index="<image>",
        vision_feature_layer=-2,
        text_config=dict(
            model_type="llama",
            vocab_size=32_064,
            hidden_size=4096,
            intermediate_size=11008,
            num_hidden_layers=32,
            num_attention_heads=32,
            rms_norm_eps=1e-5,
            max_position_embeddings=4096,
        ),
        vision_config=dict(
            model_type="clip_vision_model",
            hidden_size=1024,
            intermediate_size=4096,
            num_hidden_layers=24,
            num_attention_heads=16,
            image_size=336,
            patch_size=14,
            projection_dim=768,
        ),
    ),
    preprocessor_config=dict(image_processor_type="CLIPImageProcessor", **published.cropped(336)),
    generation_config=published.ENDS,
)
VICUNA_13B = dict(hidden_size=5120, intermediate_size=13824, num_hidden_layers=40, num_attention_heads=40)


def small(name: str, picture: int) -> dict:
    vision = VISION[name] | dict(image_size=picture, patch_size=8)
    config = dict(text_config=TEXT[name], vision_config=vision)
    return dict(picture=picture, config=config, preprocessor_config=published.cropped(picture))


VARIANTS = {
    "v1_5_7b": dict(picture=336),
    "v1_5_13b": dict(picture=336, config=dict(text_config=VICUNA_13B)),
    TINY: small(TINY, 32),
    DEBUG: small(DEBUG, 24),
}


def get_config(arg=None):
    words = dict(added=("<image>",), template=published.TURNS)
    c = published.base("configs/llava.py", arg, published=PUBLISHED, variants=VARIANTS, tasks=published.READS, **words)
    c.packing.layouts = (published.layout(160, vision=(c.picture // c.published.config.vision_config.patch_size) ** 2),)
    return c
