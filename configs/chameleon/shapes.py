r"""The demo's tasks in the style of Chameleon: pictures are codes in the vocabulary of the text, one next-token loss.

  ujx train --config configs/tokenizer/shapes.py --workdir runs/tokenizer
  ujx train --config configs/chameleon/shapes.py --workdir runs/chameleon
  smoke:  --config configs/chameleon/shapes.py:debug

Expect from one run (7.6 minutes on two cores that other work used too, 900 steps), on combinations never trained on,
with 95% intervals: captions 0.23 [0.16, 0.33], answers 0.71 [0.66, 0.77], drawings 0.00 [0.00, 0.04], edits 0.00 [0.00,
0.01]. What it draws are clean scenes in the right place whose shape or colour is wrong: it is a fraction of the way.
The demo's continuous patches are learned in these minutes; 64 codes a picture, in place of 9 patches, are not.

Body, optimizer and tasks are those of configs/demo.py, so that the two compare. The codec has the sizes of
configs/tokenizer/shapes.py and the parameters that its run left in ``codec.workdir``, which stay as they are.
"""

from pathlib import Path

import jax

from configs import common, demo
from configs.tokenizer import shapes as image_tokenizer
from unified_jax.models.chameleon import chameleon
from unified_jax.models.pretrained import from_pretrained
from unified_jax.objectives.next_token import NextToken

texts, data, benchmarks = demo.texts, demo.data, demo.benchmarks


def get_config(arg=None):
    c = common.base()
    c.steps, c.minutes = 4000, 7.5
    c.evaluate_every = 400
    c.tokenizer.documents = 4000
    c.optimizer = common.muon()
    c.optimizer.freeze = "codec/.*"
    codec = image_tokenizer.get_config(arg).model.codec.to_dict()
    c.model = dict(
        width=192, depth=4, num_heads=6, hidden=576, codec=codec, image_size=(32, 32), unroll=4, dtype="float32"
    )
    c.codec = dict(workdir="runs/tokenizer")
    c.tasks, c.often = demo.get_config().tasks, demo.get_config().often
    c.packing.rows = 8
    c.packing.layouts = (common.layout(160, text=160),)  # an edit: two pictures of 64 codes and some 25 words
    c.drawing = dict(image_temperature=1.0, guidance_scale=1.0)
    c.test_size = 256
    if arg == "debug":
        c.steps, c.minutes, c.evaluate_every, c.test_size = 4, 0.0, 0, 4
        c.model.update(width=32, depth=2, num_heads=2, hidden=64, unroll=1)
        c.codec.workdir, c.log_every, c.tokenizer.documents = "", 1, 200
    elif arg is not None:
        raise ValueError(f"configs/chameleon/shapes.py: unknown variant {arg!r}; there is 'debug'")
    return c


def model(c, tokenizer):
    return chameleon(tokenizer, **c.model.to_dict())


def given(c, model):
    """The trained codec; without a run folder a random one, which suffices for a smoke test."""
    if not c.codec.workdir:
        return {"codec": model.family.codec.init(jax.random.key(c.seed))}
    trained, params = from_pretrained(Path(c.codec.workdir) / "model")
    if trained.codec != model.family.codec.module:
        raise ValueError(f"{c.codec.workdir}: its codec has other sizes than model.codec:\n{trained.codec}")
    return {"codec": params["codec"]}


def objectives(c):
    return (NextToken("text"),)
