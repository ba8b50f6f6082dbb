r"""Chameleon as it was released (arXiv:2405.09818): words and codes in one vocabulary. It reads and draws nothing.

  ujx train --config configs/chameleon/released.py --workdir runs/released            the tiny variant, on shapes data
  ujx train --config configs/chameleon/released.py:v1_7b --workdir runs/released_7b   the published sizes, for a TPU pod
  smoke:  --config configs/chameleon/released.py:debug

The one that draws, trained from nothing: configs/chameleon/shapes.py. Sizes: config.json of facebook/chameleon-7b and
-30b, the paper's 34B. The codec was published without its decoder, so that nothing here can train one: the tiny one's
codes are of chance. Scores: not measured yet.
"""

from configs import published
from configs.published import DEBUG, TEXT, TINY, benchmarks, data, given, objectives, texts
from unified_jax.models.chameleon_released import word

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]


PUBLISHED = dict(
    config=dict(
        model_type="chameleon",
        vocab_size=65_536,
        hidden_size=4096,
        intermediate_size=11_008,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        hidden_act="silu",
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
        swin_norm=False,
        vq_config=dict(
            model_type="chameleon_vqgan",
            num_embeddings=8192,
            embed_dim=256,
            latent_channels=256,
            base_channels=128,
            channel_multiplier=(1, 1, 2, 2, 4),
            num_res_blocks=2,
            resolution=512,
        ),
    ),
    preprocessor_config=dict(image_processor_type="ChameleonImageProcessor", **published.cropped(512)),
    generation_config=published.ENDS,
)
LARGE = dict(
    hidden_size=8192,
    intermediate_size=22_016,
    num_hidden_layers=48,
    num_attention_heads=64,
    num_key_value_heads=8,
    swin_norm=True,
)


def small(name: str, picture: int, multiplier: tuple[int, ...], codes: int) -> dict:
    vq = dict(
        num_embeddings=codes,
        embed_dim=8,
        latent_channels=32,
        base_channels=32,
        channel_multiplier=multiplier,
        num_res_blocks=1,
        resolution=picture,
    )
    text = TEXT[name] | dict(vocab_size=520 + codes)
    return dict(picture=picture, config=text | dict(vq_config=vq), preprocessor_config=published.cropped(picture))


VARIANTS = {
    "v1_7b": dict(picture=512),
    "v1_34b": dict(picture=512, config=LARGE),
    TINY: small(TINY, 32, (1, 2, 2), 512),
    DEBUG: small(DEBUG, 24, (1, 1, 1), 32),
}


def get_config(arg=None):
    path = "configs/chameleon/released.py"
    c = published.base(path, arg, published=PUBLISHED, variants=VARIANTS, tasks=published.READS)
    factor = 2 ** (len(c.published.config.vq_config.channel_multiplier) - 1)
    c.packing.layouts = (published.layout(160 + 2 * (c.picture // factor) ** 2),)
    return c


def model(c, tokenizer):
    mapped = ("<image>", *map(word, range(c.published.config.vq_config.num_embeddings)))
    return published.model(c, tokenizer, mapped=mapped)
