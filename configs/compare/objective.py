r"""Which objective draws best? One decoder, one data set, one budget; only what is predicted of a picture changes.

  ujx train --config configs/tokenizer/shapes.py --workdir runs/tokenizer      (the codec of all codes, once)
  ujx compare --config configs/compare/objective.py
  smoke, about a minute, with a codec of chance:  --config configs/compare/objective.py:debug
  one variant by itself:  ujx train --config configs/compare/objective.py:masked --workdir runs/masked

A picture is 8 x 8 entries in every variant, codes of 4 x 4 pixels or the pixels themselves; body, optimizer, rows,
slots of a row, steps and the order of documents are the same. Expect: not measured yet.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax

from configs import common, demo
from configs.tokenizer import shapes as image_tokenizer
from unified_jax.core.discrete import Absorbing, Uniform
from unified_jax.core.masking import cosine, linear
from unified_jax.core.noise import shift, uniform
from unified_jax.data.sources.shapes import Shapes
from unified_jax.evals.benchmark import Benchmark
from unified_jax.evals.distinct import Distinct
from unified_jax.evals.shapes import GRADES
from unified_jax.models.chameleon import chameleon
from unified_jax.models.next_step import next_step
from unified_jax.models.pretrained import from_pretrained
from unified_jax.models.rand_ar import rand_ar
from unified_jax.models.show_o import show_o
from unified_jax.models.transfusion import PATH, transfusion
from unified_jax.objectives.discrete_diffusion import DiscreteDiffusion
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.masked import Masked
from unified_jax.objectives.next_token import NextToken
from unified_jax.objectives.random_order import RandomOrder
from unified_jax.objectives.token_flow import TokenFlow

world, texts = demo.world, demo.texts

CODES = image_tokenizer.CODES["nearest"]["size"]


def flow(c, codes):
    time = lambda rng, shape: shift(uniform(rng, shape), c.time_shift)
    return Flow("image", weight=c.image_weight, path=PATH, time=time)


def token_flow(c, codes):
    return TokenFlow("image", weight=c.image_weight, path=PATH)


BESIDE = dict(text=48, image=128)  # entries of a row: two drawings of 64, and their words

# Of each variant: its title; model(tokenizer, **sizes); whether pictures are codes; objective(c, codes) of pictures,
# None where the text's is theirs too; room of a row's streams; whether a drawing takes as many passes as it is told to.
WAYS = {
    "next_token": dict(
        title="Next code", model=chameleon, coded=True, objective=None, room=dict(text=160), passes=False
    ),
    "masked": dict(
        title="Masked codes",
        model=show_o,
        coded=True,
        objective=lambda c, codes: Masked("image", codes, ratio=cosine),
        room=BESIDE,
        passes=True,
    ),
    "absorbing": dict(
        title="Absorbing diffusion of codes",
        model=partial(show_o, process="absorbing", ratio="linear"),
        coded=True,
        objective=lambda c, codes: DiscreteDiffusion("image", Absorbing(codes, linear)),
        room=BESIDE,
        passes=True,
    ),
    "uniform": dict(
        title="Uniform diffusion of codes",
        model=partial(show_o, process="uniform", ratio="linear"),
        coded=True,
        objective=lambda c, codes: DiscreteDiffusion("image", Uniform(codes, linear)),
        room=BESIDE,
        passes=True,
    ),
    "random_order": dict(
        title="Next code in random order",
        model=rand_ar,
        coded=True,
        objective=lambda c, codes: RandomOrder("image", hints="place"),
        room=dict(text=32, place=64, image=64),
        passes=False,
    ),
    "flow": dict(
        title="Flow of patches",
        model=partial(transfusion, patch=4),
        coded=False,
        objective=flow,
        room=BESIDE,
        passes=True,
    ),
    "token_flow": dict(
        title="Next patch by a flow of its own",
        model=partial(next_step, patch=4),
        coded=False,
        objective=token_flow,
        room=BESIDE,
        passes=True,
    ),
}
DEBUG = "debug"
EVALUATION = 99  # seed
SPLITS = {"held_out": "never trained on", "train": "trained on"}


def get_config(arg=None):
    names = arg.split(",") if arg else []
    if unknown := [name for name in names if name not in (*WAYS, DEBUG)]:
        known = ", ".join((*WAYS, DEBUG))
        raise ValueError(f"configs/compare/objective.py: unknown variant {unknown[0]!r}; there are {known}")
    c = common.base()
    c.way = next((name for name in names if name in WAYS), next(iter(WAYS)))
    c.steps = 1000
    c.optimizer = common.muon()
    c.optimizer.freeze = "codec/.*"
    c.model = dict(width=128, depth=4, num_heads=4, hidden=384, image_size=(32, 32), unroll=4, dtype="float32")
    c.codec = dict(workdir="runs/tokenizer", sizes=image_tokenizer.get_config().model.codec.to_dict())
    c.tasks = {"draw/1": 2.0, "caption/1": 1.0}
    c.packing.rows, c.packing.null_rate = 8, 0.1
    c.packing.layouts = (common.layout(160, **WAYS[c.way]["room"]),)
    c.time_shift, c.image_weight = 3.0, 10.0
    c.guidance_scale = 1.5
    c.passes = (4, 8, 16, 32)
    c.test_size = 64
    c.study = dict(
        title="One decoder, several objectives",
        note="Text is predicted token by token in all of them; what differs is how a picture is predicted and drawn.",
        variants=tuple((name, way["title"]) for name, way in WAYS.items()),
        seeds=(0, 1, 2),
    )
    if DEBUG in names:
        c.steps, c.test_size, c.log_every, c.save_every = 4, 2, 1, 0
        c.optimizer.name = "adamw"  # compiles faster
        c.model.update(width=32, depth=2, num_heads=2, hidden=64, unroll=1)
        c.codec.workdir, c.codec.sizes = "", image_tokenizer.get_config(DEBUG).model.codec.to_dict()
        c.study.seeds, c.passes = (0,), (2,)
        c.tokenizer.documents = 200
        c.study.variants = tuple((name, WAYS[name]["title"]) for name in ("masked", "flow"))
    return c


def model(c, tokenizer):
    way = WAYS[c.way]
    codec = dict(codec=c.codec.sizes.to_dict()) if way["coded"] else {}
    return way["model"](tokenizer, **codec, **c.model.to_dict())


def given(c, model):
    """The trained codec; without a run folder a random one, which suffices for a smoke test."""
    if not WAYS[c.way]["coded"]:
        return {}
    if not c.codec.workdir:
        return {"codec": model.family.codec.init(jax.random.key(c.seed))}
    trained, params = from_pretrained(Path(c.codec.workdir) / "model")
    if trained.codec != model.family.codec.module:
        raise ValueError(f"{c.codec.workdir}: its codec has other sizes than codec.sizes:\n{trained.codec}")
    return {"codec": params["codec"]}


def objectives(c):
    text, objective = NextToken("text"), WAYS[c.way]["objective"]
    return (text,) if objective is None else (text, objective(c, c.codec.sizes.code["size"]))


def data(c):
    return Shapes(world=world(c), tasks=dict(c.tasks), seed=c.seed)


def benchmarks(c):
    """Drawings of combinations seen and never seen, once for each way of drawing; captions of the latter."""

    def scored(name: str, split: str, task: str, **settings: Any) -> Benchmark:
        # The same documents for every seed of a study.
        source = Distinct(Shapes(world=world(c), split=split, tasks={f"{task}/1": 1}, seed=EVALUATION), c.test_size)
        return Benchmark(name, f"one object, combinations {SPLITS[split]}", source, GRADES[task](world(c)), settings)

    ways = {f"{n} passes": {"steps": n} for n in c.passes} if WAYS[c.way]["passes"] else {"one by one": {}}
    drawn = [
        scored(f"{question}@{way}", split, "draw", guidance_scale=c.guidance_scale, **settings)
        for question, split in (("drawn_new", "held_out"), ("drawn_seen", "train"))
        for way, settings in ways.items()
    ]
    return (*drawn, scored("caption_exact", "held_out", "caption"))
