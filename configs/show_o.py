r"""Show-o as it was released (arXiv:2408.12528): text in turn, pictures all at once from masks, one Phi.

  ujx train --config configs/show_o.py --workdir runs/show_o              the tiny variant, on the shapes data
  ujx train --config configs/show_o.py:v1_512 --workdir runs/show_o_512   the published sizes, for a TPU pod
  smoke:  --config configs/show_o.py:debug

Sizes: config.json of showlab/show-o-512x512 and show-o-256, of microsoft/phi-1_5, and MAGVIT-v2's code. What is a
guidance_scale of 6 here the release calls 5. Scores: not measured yet.
"""

from configs import published
from configs.published import DEBUG, TEXT, TINY, benchmarks, data, given, model, texts
from unified_jax.core.masking import cosine
from unified_jax.models.show_o_released import ADDED
from unified_jax.objectives.masked import Masked
from unified_jax.objectives.next_token import NextToken

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

PUBLISHED = {
    "config": dict(
        _class_name="Showo",
        w_clip_vit=False,
        llm_vocab_size=50_295,
        vocab_size=58_498,
        codebook_size=8192,
        num_vq_tokens=1024,
    ),
    "phi/config": dict(
        model_type="phi",
        vocab_size=51_200,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=24,
        num_attention_heads=32,
        hidden_act="gelu_new",
        layer_norm_eps=1e-5,
        max_position_embeddings=2048,
        partial_rotary_factor=0.5,
        rope_theta=10_000.0,
        eos_token_id="<eos>",
    ),
    "magvitv2/config": dict(model_type="magvitv2"),
}


def small(name: str, picture: int, multiplier: tuple[int, ...], *, bits: int, width: int) -> dict:
    words, codes, levels = 512, 2**bits, len(multiplier)
    ladder = dict(ch=width, ch_mult=multiplier, num_res_blocks=(1,) * levels, z_channels=bits, resolution=picture)
    return {
        "picture": picture,
        "config": dict(
            llm_vocab_size=words,
            vocab_size=words + len(ADDED) + codes + 1,
            codebook_size=codes,
            num_vq_tokens=(picture // 2 ** (levels - 1)) ** 2,
        ),
        "phi/config": TEXT[name] | dict(vocab_size=words),
        "magvitv2/config": dict(encoder=ladder, decoder=ladder, codebook_dim=bits, norm_num_groups=8),
    }


VARIANTS = {
    "v1_256": dict(picture=256, config=dict(num_vq_tokens=256)),
    "v1_512": dict(picture=512),
    TINY: small(TINY, 32, (1, 2, 2), bits=9, width=32),
    DEBUG: small(DEBUG, 24, (1, 1, 1), bits=5, width=8),
}


def get_config(arg=None):
    c = published.base(
        "configs/show_o.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=published.BOTH,
        drawing=dict(steps=50, guidance_scale=6.0),
    )
    c.packing.layouts = (published.layout(128, image=c.published.config.num_vq_tokens),)
    return c


def objectives(c):
    return NextToken("text"), Masked("image", c.published.config.codebook_size, ratio=cosine)
