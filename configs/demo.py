r"""The demo: one small network that describes, draws and edits pictures of shapes, in eight minutes on two cores.

  ujx train --config configs/demo.py --workdir runs/demo
  smoke, about a minute:   --config configs/demo.py:debug

A Transfusion (next-token text, flow-matched 12x12 patches) of 2.2 million parameters, on 36-pixel pictures. One fifth
of all combinations of shape, colour, size and place is never shown; every score of the report is on those.

A patch is as large as a cell of the scene's 3x3 grid, which makes composing easier than it is in general: with 8x8
patches of 32-pixel pictures, which cut across cells, 1,900 steps of the same network drew 92% of single objects and 58%
of pairs right, but described only 75% of single objects (another mixture: 77%, 33% and 95%), and edited 15% at most.
"""

from pathlib import Path

from configs import common
from unified_jax.core.noise import shift, uniform
from unified_jax.data.document import Text
from unified_jax.data.sources.shapes import Shapes, World
from unified_jax.evals import shapes as shapes_evals
from unified_jax.models.transfusion import PATH, transfusion
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.next_token import NextToken
from unified_jax.report import Chapter


def get_config(arg=None):
    c = common.base()
    c.steps, c.minutes = 4000, 7.9
    c.evaluate_every = 400
    c.tokenizer.documents = 4000
    c.optimizer = common.muon()
    c.optimizer.weight_decay = 0.05
    c.model = dict(
        width=192, depth=4, num_heads=6, hidden=576, patch=12, image_size=(36, 36), unroll=4, dtype="float32"
    )
    c.tasks = {
        "draw/1": 0.5,
        "draw/2": 1.0,
        "edit/1": 0.75,
        "edit/2": 3.25,
        "caption/1": 0.3,
        "caption/2": 0.45,
        "question/1": 2.5,
        "question/2": 1.5,
    }
    # What must be held against the picture word by word is learned late; a colour or a place is learned at once.
    c.often = {"presence": 2.0, "count": 2.0, "relation": 2.0}
    c.packing.rows, c.packing.null_rate = 14, 0.05  # drawn without guidance here, but whoever wants it can have it
    c.packing.layouts = (common.layout(96, text=76, image=54),)
    c.time_shift = 3.0  # most of drawing is decided at high noise, where little but the caption is left to go by
    c.image_weight = 10.0  # squared pixel errors are small beside nats
    c.drawing = dict(steps=10, guidance_scale=1.0)
    c.test_size = 256
    if arg == "debug":
        c.steps, c.minutes, c.evaluate_every, c.test_size = 4, 0.0, 0, 4
        c.model.update(width=32, depth=2, num_heads=2, hidden=64, unroll=1)
        c.packing.rows, c.tokenizer.documents = 8, 200
        c.optimizer = common.adamw()  # compiles faster
        c.log_every = 1
    elif arg is not None:
        raise ValueError(f"configs/demo.py: unknown variant {arg!r}; there is 'debug'")
    return c


def world(c):
    return World(resolution=c.model.image_size[0])


def texts(c):
    source = Shapes(world=world(c), tasks=dict(c.tasks), seed=c.seed + 1)
    return (part.text for i in range(c.tokenizer.documents) for part in source[i] if isinstance(part, Text))


def model(c, tokenizer):
    return transfusion(tokenizer, **c.model.to_dict())


def objectives(c):
    time = lambda rng, shape: shift(uniform(rng, shape), c.time_shift)
    return NextToken("text"), Flow("image", weight=c.image_weight, path=PATH, time=time)


def data(c):
    return Shapes(world=world(c), tasks=dict(c.tasks), seed=c.seed, often=dict(c.often))


def benchmarks(c):
    return shapes_evals.benchmarks(world(c), n=c.test_size, drawing=dict(c.drawing))


def chapters(c):
    emoji = Path(__file__).parents[1] / "experiments" / "emoji"
    note = (
        "This part was not trained by this run: its network, pictures and scores come from an earlier one of about an "
        "hour on the same kind of machine. Config, log and parameters are in experiments/emoji; to train it again: "
        "ujx train --config configs/emoji/transfusion.py --workdir runs/emoji"
    )
    return (Chapter(emoji, "Real emoji, trained beforehand", note),)
