r"""BLIP-2 (arXiv:2301.12597) and the graph of MiniGPT-4 (2304.10592): what learned queries read, before OPT or Vicuna.

  ujx train --config configs/blip2.py --workdir runs/blip2                   the tiny variant, on the shapes data
  ujx train --config configs/blip2.py:opt_2_7b --workdir runs/blip2_2_7b     the published sizes, for a TPU pod
  smoke:  --config configs/blip2.py:debug

Sizes: config.json of Salesforce/blip2-opt-2.7b and -6.7b; minigpt4_7b has Vicuna's, of lmsys/vicuna-7b-v1.5, in OPT's
place. Scores: not measured yet.
"""

from configs import published
from configs.published import DEBUG, TINY, VISION, benchmarks, data, given, model, objectives, texts

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

PUBLISHED = dict(
    config=dict(
        model_type="blip-2",
        num_query_tokens=32,
        text_config=dict(
            model_type="opt",
            vocab_size=50_272,
            hidden_size=2560,
            ffn_dim=10_240,
            num_hidden_layers=32,
            num_attention_heads=32,
            word_embed_proj_dim=2560,
        ),
        vision_config=dict(
            model_type="blip_2_vision_model",
            hidden_size=1408,
            intermediate_size=6144,
            num_hidden_layers=39,
            num_attention_heads=16,
            image_size=224,
            patch_size=14,
        ),
        qformer_config=dict(
            model_type="blip_2_qformer",
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            encoder_hidden_size=1408,
        ),
    ),
    preprocessor_config=dict(image_processor_type="BlipImageProcessor", size=published.sides(224)),
    generation_config=published.ENDS,
)
OPT_6_7B = dict(hidden_size=4096, ffn_dim=16_384, word_embed_proj_dim=4096)
VICUNA_7B = dict(
    model_type="llama",
    vocab_size=32_000,
    hidden_size=4096,
    intermediate_size=11_008,
    rms_norm_eps=1e-5,
    max_position_embeddings=4096,
)


def small(name: str, picture: int, queries: int) -> dict:
    vision, depth = VISION[name], VISION[name]["num_hidden_layers"]
    body = dict(hidden_size=vision["hidden_size"], num_attention_heads=vision["num_attention_heads"])
    text = dict(
        vocab_size=520,
        ffn_dim=4 * vision["hidden_size"],
        word_embed_proj_dim=vision["hidden_size"],
        num_hidden_layers=depth + 1,
        **body,
    )
    reads = dict(
        num_hidden_layers=2,
        intermediate_size=vision["intermediate_size"],
        encoder_hidden_size=vision["hidden_size"],
        **body,
    )
    config = dict(
        num_query_tokens=queries,
        text_config=text,
        vision_config=vision | dict(image_size=picture, patch_size=8),
        qformer_config=reads,
    )
    return dict(picture=picture, config=config, preprocessor_config=dict(size=published.sides(picture)))


VARIANTS = {
    "opt_2_7b": dict(picture=224),
    "opt_6_7b": dict(picture=224, config=dict(text_config=OPT_6_7B)),
    "minigpt4_7b": dict(picture=224, config=dict(text_config=VICUNA_7B)),
    TINY: small(TINY, 32, 16),
    DEBUG: small(DEBUG, 24, 4),
}


def get_config(arg=None):
    c = published.base("configs/blip2.py", arg, published=PUBLISHED, variants=VARIANTS, tasks=published.READS)
    c.packing.layouts = (published.layout(128, vision=c.published.config.num_query_tokens),)
    return c
