r"""The image tokenizer of the shapes world: 32 px pictures as 8 x 8 codes of 512, in a few minutes on two cores.

  ujx train --config configs/tokenizer/shapes.py --workdir runs/tokenizer
  smoke:  --config configs/tokenizer/shapes.py:debug

Expect from one run of this file (2500 steps, seed 0; 512 scenes a line, none of them trained on as such):

    things   split      read right   PSNR dB   codes used
    1        train      0.996        41.5      0.71
    2        train      0.982        38.0      0.78
    3        train      0.961        36.0      0.81
    4        train      0.936        34.3      0.83
    1        held out   0.930        37.0      0.49
    2        held out   0.799        33.7      0.61

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


def get_config(arg=None):
    c = common.base()
    c.steps = 2500
    c.ema_decay = 0.99
    c.optimizer = common.adamw(3e-3)
    c.tokenizer.vocab = 300  # nothing reads the text
    c.model = dict(
        codec=dict(
            patch=2,
            width=32,
            multipliers=(1, 2),
            depth=1,
            code=dict(kind="nearest", size=512, width=8, entropy=0.001),
        ),
        image_size=(32, 32),
    )
    c.tasks = {"caption/4": 1.0}
    c.packing.rows, c.packing.null_rate = 16, 0.0
    c.packing.layouts = (common.layout(64, image=64),)  # one picture to a row: (32 / 4) ** 2 codes
    c.test_size = 512
    if arg == "debug":
        c.steps, c.log_every, c.test_size = 4, 1, 4
        c.model.codec.width, c.model.codec.code.size = 8, 32
        c.packing.rows = 8
    elif arg is not None:
        raise ValueError(f"configs/tokenizer/shapes.py: unknown variant {arg!r}; there is 'debug'")
    return c


def texts(c):
    return (part.text for i in range(100) for part in data(c)[i] if isinstance(part, Text))


def model(c, tokenizer):
    return vq(tokenizer, **c.model.to_dict())


def objectives(c):
    return (Reconstruct("image"),)


def data(c):
    return Shapes(world=World(resolution=c.model.image_size[0]), tasks=dict(c.tasks), seed=c.seed)


def benchmarks(c):
    return reconstruction.benchmarks(World(resolution=c.model.image_size[0]), n=c.test_size)
