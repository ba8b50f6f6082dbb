r"""The image tokenizer of the shapes world: 32 px pictures as 8 x 8 codes of 512, in a few minutes on two cores.

  ujx train --config configs/tokenizer/shapes.py --workdir runs/tokenizer
  smoke:  --config configs/tokenizer/shapes.py:debug
  other quantisers of as many bits:  --config configs/tokenizer/shapes.py:scalar (or moving, residual ...)

Expect from one run of this file (2500 steps, seed 0, 2.6 minutes; 346 scenes on the first line, 86 on the fifth, 512
on the others, none of them trained on as such):

    things   split      read right   PSNR dB   codes used
    1        train      0.986        41.4      0.73
    2        train      0.967        37.9      0.76
    3        train      0.961        35.9      0.79
    4        train      0.930        34.3      0.81
    1        held out   0.895        37.0      0.49
    2        held out   0.758        33.8      0.62

Read right: by evals/graders/shapes.py. Held-out combinations of shape, colour, size and place are never shown, to the
tokenizer either, so the last two lines bound what a model over these codes can score.

Why these numbers: the grid begins at 2 px patches, since 4 px ones of like cost stayed at 30 dB, 0.40 read right over
1 to 4 things, after as many steps (there, an entropy of 0.01 instead of 0 used 0.99 of the codes and not 0.42, but told
empty places apart by where they are and lost 0.7 dB). No norm or attention over the whole picture, so that empty
places share codes. Four things to a picture, because what is empty is learned at once.
"""

from configs import common
from unified_jax.data.document import Text
from unified_jax.data.sources.shapes import Shapes, World
from unified_jax.evals import reconstruction
from unified_jax.models.vq import vq
from unified_jax.objectives.reconstruct import Reconstruct

CODES = {  # the variants: nine bits for each place, whatever the quantiser
    "nearest": dict(kind="nearest", size=512, width=8, entropy=0.001),
    "moving": dict(kind="moving", size=512, width=8, below=0.1),
    "lookup_free": dict(kind="lookup_free", width=9),
    "spherical": dict(kind="spherical", width=9),
    "scalar": dict(kind="scalar", levels=(8, 8, 8)),
    "residual": dict(
        kind="residual", depth=3, stage=dict(kind="moving", size=8, width=8, measure="unchanged", below=1.0)
    ),
}
AVERAGED = ("moving", "residual")  # whose vectors are moving averages, no matter of the optimizer


def get_config(arg=None):
    c = common.base()
    c.steps = 2500
    c.ema_decay = 0.99
    c.optimizer = common.adamw(3e-3)
    c.tokenizer.update(vocab=300, documents=100)  # nothing reads the text
    c.model = dict(
        codec=dict(
            patch=2,
            width=32,
            multipliers=(1, 2),
            depth=1,
            code=dict(CODES.get(arg, CODES["nearest"])),
        ),
        image_size=(32, 32),
    )
    c.tasks = {"caption/4": 1.0}
    c.packing.rows, c.packing.null_rate = 16, 0.0
    c.packing.layouts = (common.layout(64, image=64),)  # one picture to a row: (32 / 4) ** 2 codes
    c.test_size = 512
    c.optimizer.averaged = "codec/quantiser/.*" if arg in AVERAGED else ""
    if arg == "debug":
        c.steps, c.log_every, c.test_size = 4, 1, 4
        c.model.codec.width, c.model.codec.code.size = 8, 32
        c.packing.rows = 8
    elif arg not in (None, *CODES):
        raise ValueError(f"configs/tokenizer/shapes.py: unknown variant {arg!r}; there are debug, {', '.join(CODES)}")
    return c


def texts(c):
    return (part.text for i in range(c.tokenizer.documents) for part in data(c)[i] if isinstance(part, Text))


def model(c, tokenizer):
    return vq(tokenizer, **c.model.to_dict())


def objectives(c):
    return (Reconstruct("image"),)


def data(c):
    return Shapes(world=World(resolution=c.model.image_size[0]), tasks=dict(c.tasks), seed=c.seed)


def benchmarks(c):
    return reconstruction.benchmarks(World(resolution=c.model.image_size[0]), n=c.test_size)
