r"""LlamaGen (arXiv:2406.06525): a Llama that draws classes as codes, row by row. A class of the shapes data is a scene.

  ujx train --config configs/llamagen.py --workdir runs/llamagen             the tiny variant, on the shapes data
  ujx train --config configs/llamagen.py:xl --workdir runs/llamagen_xl       the published sizes, for a TPU pod
  smoke:  --config configs/llamagen.py:debug

Sizes: autoregressive/models/gpt.py of its repository (GPT_B to GPT_3B); 256 px. guidance_scale and top_k: its sampling
script. Classes that were never trained on cannot be drawn, so what is scored was. Scores: not measured yet.
"""

from configs import published
from configs.published import DEBUG, TINY, given, model, texts, world
from unified_jax.data.sources.shapes.numbered import Numbered
from unified_jax.evals import shapes as shapes_evals
from unified_jax.objectives.next_token import NextToken

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

PUBLISHED = dict(
    config=dict(
        model_type="llamagen",
        vq=dict(
            model_type="llamagen_vq",
            codebook_size=16_384,
            codebook_embed_dim=8,
            encoder_ch_mult=(1, 1, 2, 2, 4),
            decoder_ch_mult=(1, 1, 2, 2, 4),
            z_channels=256,
            ch=128,
            num_res_blocks=2,
            norm_num_groups=32,
        ),
        c2i=dict(dim=768, n_layer=12, n_head=12, multiple_of=256, vocab_size=16_384, block_size=256, num_classes=1000),
    ),
)


def large(width: int, depth: int, heads: int) -> dict:
    return dict(picture=256, config=dict(c2i=dict(dim=width, n_layer=depth, n_head=heads)))


def small(picture: int, multiplier: tuple[int, ...], *, codes: int, **body: int) -> dict:
    vq = dict(
        codebook_size=codes,
        encoder_ch_mult=multiplier,
        decoder_ch_mult=multiplier,
        z_channels=32,
        ch=32,
        num_res_blocks=1,
        norm_num_groups=8,
    )
    side = picture // 2 ** (len(multiplier) - 1)
    drawn = dict(vocab_size=codes, block_size=side**2, num_classes=432, multiple_of=16, **body)
    return dict(picture=picture, config=dict(vq=vq, c2i=drawn))


VARIANTS = {
    "b": large(768, 12, 12),
    "l": large(1024, 24, 16),
    "xl": large(1280, 36, 20),
    "xxl": large(1536, 48, 24),
    "v1_3b": large(3200, 24, 32),
    TINY: small(32, (1, 2, 2), codes=512, dim=192, n_layer=4, n_head=6),
    DEBUG: small(24, (1, 1, 1), codes=32, dim=32, n_layer=2, n_head=2),
}


def get_config(arg=None):
    c = published.base(
        "configs/llamagen.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=published.DRAWS,
        drawing=dict(guidance_scale=4.0, image_temperature=1.0, top_k=2000),
    )
    entries = c.published.config.c2i.block_size
    c.packing.layouts = (published.common.layout(2 * entries + 2, condition=2, image=2 * entries),)
    return c


def data(c):
    return Numbered(published.data(c))


def benchmarks(c):
    return shapes_evals.numbered(world(c), n=c.test_size, drawing=dict(c.drawing))


def objectives(c):
    return (NextToken("image"),)
