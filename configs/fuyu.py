r"""Fuyu (adept.ai/blog/fuyu-8b): patches of a picture straight into the decoder, Persimmon. It reads pictures.

  ujx train --config configs/fuyu.py --workdir runs/fuyu           the tiny variant, on the shapes data
  ujx train --config configs/fuyu.py:v1_8b --workdir runs/fuyu_8b  the published sizes, for a TPU pod
  smoke:  --config configs/fuyu.py:debug

Sizes: config.json of adept/fuyu-8b. Scores: not measured yet.
"""

from configs import published
from configs.published import DEBUG, HALF, TEXT, TINY, benchmarks, data, given, model, objectives, texts
from unified_jax.models.fuyu import ANSWER, BEGIN, NEWLINE

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

PUBLISHED = dict(
    config=dict(
        model_type="fuyu",
        patch_size=30,
        text_config=dict(
            model_type="persimmon",
            vocab_size=262_144,
            hidden_size=4096,
            intermediate_size=16_384,
            num_hidden_layers=36,
            num_attention_heads=64,
        ),
    ),
    preprocessor_config=dict(
        image_processor_type="FuyuImageProcessor",
        size={"height": 1080, "width": 1920},
        patch_size=published.sides(30),
        image_mean=HALF,
        image_std=HALF,
    ),
    generation_config=published.ENDS,
)


def small(name: str, picture: int) -> dict:
    seen = dict(size=published.sides(picture), patch_size=published.sides(8))
    return dict(picture=picture, config=dict(patch_size=8, text_config=TEXT[name]), preprocessor_config=seen)


VARIANTS = {"v1_8b": dict(picture=300), TINY: small(TINY, 32), DEBUG: small(DEBUG, 24)}


def get_config(arg=None):
    added = (NEWLINE, BEGIN, ANSWER)
    c = published.base(
        "configs/fuyu.py", arg, published=PUBLISHED, variants=VARIANTS, tasks=published.READS, added=added
    )
    side = c.picture // c.published.config.patch_size
    c.packing.layouts = (published.layout(128 + 2 * side, vision=side**2),)
    return c
