r"""The demo: one small network that describes, draws and edits pictures of shapes, in eight minutes on two cores.

  ujx train --config configs/demo.py --workdir runs/demo
  smoke, about a minute:   --config configs/demo.py:debug

A Transfusion (next-token text, flow-matched 8x8 patches) of 2 million parameters. One fifth of all combinations of
shape, colour, size and place is never shown; every score of the report is on those.
"""

from unified_jax.core.noise import shift, uniform
from unified_jax.data.document import Text
from unified_jax.data.sources.shapes import Shapes, World
from unified_jax.evals import shapes as shapes_evals
from unified_jax.models.transfusion import PATH, transfusion
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.next_token import NextToken

from configs import common


def get_config(arg=None):
    c = common.base()
    c.steps, c.minutes = 4000, 7.5
    c.evaluate_every = 400
    c.optimizer = common.muon()
    c.model = dict(width=192, depth=4, num_heads=6, hidden=576, patch=8, image_size=(32, 32), unroll=4)
    c.tasks = {
        "draw/1": 2.0,
        "draw/2": 3.0,
        "edit/1": 0.75,
        "edit/2": 1.5,
        "caption/1": 0.75,
        "caption/2": 0.75,
        "question/1": 0.5,
        "question/2": 0.5,
    }
    c.packing.rows = 27
    c.packing.layouts = (common.layout(96, text=60, image=64),)
    c.time_shift = 3.0  # most of drawing is decided at high noise, where little but the caption is left to go by
    c.drawing = dict(steps=10, guidance_scale=1.0)
    c.test_size = 256
    if arg == "debug":
        c.steps, c.minutes, c.evaluate_every, c.test_size = 4, 0.0, 0, 4
        c.model.update(width=32, depth=2, num_heads=2, hidden=64, unroll=1)
        c.packing.rows = 8
        c.log_every = 1
    elif arg is not None:
        raise ValueError(f"configs/demo.py: unknown variant {arg!r}; there is 'debug'")
    return c


def world(c):
    return World(resolution=c.model.image_size[0])


def texts(c):
    source = Shapes(world=world(c), tasks=dict(c.tasks), seed=c.seed + 1)
    return (part.text for i in range(4000) for part in source[i] if isinstance(part, Text))


def model(c, tokenizer):
    return transfusion(tokenizer, **c.model)


def objectives(c):
    return (
        NextToken("text"),
        Flow("image", path=PATH, time=lambda rng, shape: shift(uniform(rng, shape), c.time_shift)),
    )


def data(c):
    return Shapes(world=world(c), tasks=dict(c.tasks), seed=c.seed)


def benchmarks(c):
    return shapes_evals.benchmarks(world(c), n=c.test_size, drawing=dict(c.drawing))
