r"""Mogao (arXiv:2505.05472): BAGEL's way, with experts by modality, positions of three axes and norms told the time.

  ujx train --config configs/mogao.py --workdir runs/mogao             the tiny variant, on the shapes data
  ujx train --config configs/mogao.py:v7b --workdir runs/mogao_7b      the published sizes, for a TPU pod
  smoke:  --config configs/mogao.py:debug

It reads, draws and edits. Sizes: Qwen2.5-7B, twice its layers. Encoder, codec, weights of the losses and settings of
drawing are BAGEL's: nothing of Mogao was released to read them from. Scores: not measured yet.
"""

from ml_collections import ConfigDict

from configs import bagel, published
from configs.bagel import objectives
from configs.published import benchmarks, data, given, model, texts

__all__ = ["benchmarks", "data", "get_config", "given", "model", "objectives", "texts"]

PUBLISHED = dict(bagel.PUBLISHED, config=dict(bagel.PUBLISHED["config"], model_type="mogao"))
VARIANTS = {{"v1_7b": "v7b"}.get(name, name): sizes for name, sizes in bagel.VARIANTS.items()}


def get_config(arg=None):
    c = published.base(
        "configs/mogao.py",
        arg,
        published=PUBLISHED,
        variants=VARIANTS,
        tasks=published.BOTH | published.EDITS,
        drawing=dict(steps=49, shift=3.0, guidance_scale=4.0),
        added=bagel.ADDED,
    )
    streams = bagel.rooms(c)
    lanes = {"main": streams["text"], "picture": streams["vision"] + streams["image"]}
    c.packing.layouts = (ConfigDict({"lanes": lanes, "streams": streams}),)
    c.time_shift, c.image_weight = 3.0, 4.0
    return c
