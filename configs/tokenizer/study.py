r"""One of the runs of the tokenizer study: equal networks, equal bits for each picture, another bottleneck.

  ujx train --config configs/tokenizer/study.py:scalar --workdir runs/study/scalar-0
  all of them, three seeds each, and the page:  PYTHONPATH=. python experiments/tokenizers/study.py --workdir runs/study
  smoke:  --config configs/tokenizer/study.py:debug

Kinds: nearest (VQ), moving (EMA-VQ), lookup_free (LFQ), scalar (FSQ), residual, gaussian (KL). Nine bits for each place
of 8 x 8, 576 for a picture of 32 px; the Gaussian is held to 9 ln 2 nats for each place, on average over a picture, and
its pictures are decoded from draws. Networks differ by the width of the bottleneck and by codebooks; the page counts.
"""

import math

from configs.tokenizer import shapes
from configs.tokenizer.shapes import data, objectives, texts
from unified_jax.data.sources.shapes import World
from unified_jax.evals import reconstruction
from unified_jax.models.gaussian import gaussian
from unified_jax.models.vq import vq

__all__ = ["BITS", "KINDS", "PLACES", "benchmarks", "data", "get_config", "model", "objectives", "texts"]

BITS, PLACES = 9, 64
KINDS = ("nearest", "moving", "lookup_free", "scalar", "residual", "gaussian")
FAMILIES = {"vq": vq, "gaussian": gaussian}


def get_config(arg=None):
    if arg not in (None, "debug", *KINDS):
        raise ValueError(f"configs/tokenizer/study.py: unknown variant {arg!r}; there are debug, {', '.join(KINDS)}")
    c = shapes.get_config(None if arg == "gaussian" else arg)
    c.family = "gaussian" if arg == "gaussian" else "vq"
    c.perceptual = "" if arg == "debug" else "st-lpips-alex"  # of the extra "metrics"; "" for none
    if arg != "debug":
        c.steps, c.test_size = 800, 256
    if arg == "gaussian":
        del c.model.codec.code
        c.model.codec.update(channels=8, beta=0.01, nats=BITS * math.log(2))
    return c


def model(c, tokenizer):
    return FAMILIES[c.family](tokenizer, **c.model.to_dict())


def benchmarks(c):
    world = World(resolution=c.model.image_size[0])
    measures = reconstruction.measures(world, n=c.test_size, perceptual=c.perceptual)
    return (*reconstruction.benchmarks(world, n=c.test_size), *measures)
