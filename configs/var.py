r"""VAR (arXiv:2404.02905): a transformer that draws classes scale by scale. A class of the shapes data is a scene.

  ujx train --config configs/var.py --workdir runs/var             the tiny variant, on the shapes data
  ujx train --config configs/var.py:d30 --workdir runs/var_d30     the published sizes, for a TPU pod
  smoke:  --config configs/var.py:debug

Sizes: models/var.py and models/vqvae.py of its repository; d36 draws 512 px. guidance_scale, which is called 4 there,
top_k and top_p: its demo_sample.ipynb. Classes that were never trained on cannot be drawn, so what is scored was.
Scores: not measured yet.
"""

from configs import published
from configs.llamagen import benchmarks, data
from configs.published import DEBUG, TINY, given, model, texts
from unified_jax.objectives.next_token import NextToken

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

SIDES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)
SIDES_512 = (1, 2, 3, 4, 6, 9, 13, 18, 24, 32)
PUBLISHED = dict(
    config=dict(
        model_type="var",
        vae=dict(
            model_type="var_vae",
            vocab_size=4096,
            z_channels=32,
            ch=160,
            ch_mult=(1, 1, 2, 2, 4),
            num_res_blocks=2,
            norm_num_groups=32,
            v_patch_nums=SIDES,
        ),
        var=dict(num_classes=1000, depth=16, embed_dim=1024, num_heads=16, shared_aln=False, patch_nums=SIDES),
    ),
)


def large(depth: int, picture: int = 256, *, sides: tuple[int, ...] = SIDES, **body: bool) -> dict:
    body |= dict(depth=depth, embed_dim=64 * depth, num_heads=depth, patch_nums=sides)
    return dict(picture=picture, config=dict(vae=dict(v_patch_nums=sides), var=body))


def small(picture: int, sides: tuple[int, ...], *, codes: int, ch: int, ch_mult: tuple[int, ...], **body: int) -> dict:
    ladder = dict(ch=ch, ch_mult=ch_mult, num_res_blocks=1, norm_num_groups=4)
    vae = dict(vocab_size=codes, z_channels=8, v_patch_nums=sides, **ladder)
    return dict(picture=picture, config=dict(vae=vae, var=dict(num_classes=432, patch_nums=sides, **body)))


VARIANTS = {
    "d16": large(16),
    "d20": large(20),
    "d24": large(24),
    "d30": large(30),
    "d36": large(36, 512, sides=SIDES_512, shared_aln=True),
    TINY: small(32, (1, 2, 4, 8), ch_mult=(1, 2, 2), codes=512, ch=32, depth=4, embed_dim=192, num_heads=6),
    DEBUG: small(24, (1, 3, 6), ch_mult=(1, 1, 1), codes=32, ch=8, depth=2, embed_dim=32, num_heads=2),
}


def get_config(arg=None):
    c = published.base(
        "configs/var.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=published.DRAWS,
        drawing=dict(guidance_scale=5.0, image_temperature=1.0, top_k=900, top_p=0.95),
    )
    entries = sum(side**2 for side in c.published.config.var.patch_nums)
    c.packing.layouts = (published.common.layout(2 * entries, image=2 * entries),)
    return c


def objectives(c):
    return (NextToken("image"),)
