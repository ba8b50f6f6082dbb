r"""A DiT that draws one thing of the shapes world from its caption, by any of the continuous objectives.

  ujx train --config configs/dit/shapes.py --workdir runs/dit
  another objective:  --config configs/dit/shapes.py:diffusion (or learned_variance, consistency, shortcut, mean_flow)
  words in a stream of their own, as in MM-DiT:  --config configs/dit/shapes.py:joint (or joint,diffusion ...)
  smoke:  --config configs/dit/shapes.py:debug

Expect: not measured yet. Pixels are 32 x 32, a patch 4 x 4. Flow, diffusion and learned variance are drawn in 25 steps,
the others, which are made for it, in 4.
"""

from functools import partial

from configs import common, demo
from unified_jax.core.noise import logit_normal
from unified_jax.data.sources.shapes import Shapes
from unified_jax.evals.benchmark import Benchmark
from unified_jax.evals.distinct import Distinct
from unified_jax.evals.shapes import GRADES
from unified_jax.models.dit import WAYS, dit
from unified_jax.models.dit_bodies import BODIES
from unified_jax.objectives.consistency import Consistency
from unified_jax.objectives.diffusion import Diffusion
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.learned_variance import LearnedVariance
from unified_jax.objectives.mean_flow import MeanFlow
from unified_jax.objectives.shortcut import Shortcut

world, texts = demo.world, demo.texts

# Of each variant: the way a picture is made along, the objective, and the steps of a drawing.
OBJECTIVES = {
    "flow": ("flow", partial(Flow, path=WAYS["flow"].path, time=logit_normal), 25),
    "diffusion": ("diffusion", partial(Diffusion, path=WAYS["diffusion"].path), 25),
    "learned_variance": ("learned_variance", partial(LearnedVariance, path=WAYS["learned_variance"].path), 25),
    "consistency": ("consistency", partial(Consistency, path=WAYS["consistency"].path), 4),
    "shortcut": ("average", Shortcut, 4),
    "mean_flow": ("average", MeanFlow, 4),
}
DEBUG = "debug"
KNOWN = (*OBJECTIVES, *BODIES, DEBUG)
SPLITS = {"held_out": "never trained on", "train": "trained on"}


def get_config(arg=None):
    names = arg.split(",") if arg else []
    if unknown := [name for name in names if name not in KNOWN]:
        raise ValueError(f"configs/dit/shapes.py: unknown variant {unknown[0]!r}; there are {', '.join(KNOWN)}")
    c = common.base()
    c.steps = 4000
    c.evaluate_every = 1000
    c.objective = next((name for name in names if name in OBJECTIVES), "flow")
    way, _, steps = OBJECTIVES[c.objective]
    words = next((name for name in names if name in BODIES), "pooled")
    c.model = dict(
        width=192, depth=4, num_heads=6, patch=4, image_size=(32, 32), way=way, words=words, unroll=4, dtype="float32"
    )
    c.tasks = {"draw/1": 1.0}
    c.packing.rows, c.packing.null_rate = 16, 0.1
    lanes = {"text": 32, "image": 64}  # one picture to a row
    c.packing.layouts = ({"lanes": lanes, "streams": lanes},)
    c.drawing = dict(steps=steps, guidance_scale=1.5)
    c.test_size = 128
    if DEBUG in names:
        c.steps, c.evaluate_every, c.test_size, c.log_every = 4, 0, 2, 1
        c.model.update(width=32, depth=2, num_heads=2, unroll=1)
        c.packing.rows, c.tokenizer.documents = 8, 200
    return c


def model(c, tokenizer):
    return dit(tokenizer, **c.model.to_dict())


def objectives(c):
    return (OBJECTIVES[c.objective][1]("image"),)


def data(c):
    return Shapes(world=world(c), tasks=dict(c.tasks), seed=c.seed)


def benchmarks(c):
    """Drawings of combinations seen and never seen."""

    def scored(name, split):
        source = Distinct(Shapes(world=world(c), split=split, tasks={"draw/1": 1}, seed=c.seed + 99), c.test_size)
        title = f"one object, combinations {SPLITS[split]}"
        return Benchmark(name, title, source, GRADES["draw"](world(c)), dict(c.drawing))

    return scored("drawn_new", "held_out"), scored("drawn_seen", "train")
