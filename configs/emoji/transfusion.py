r"""Real emoji from names, names from emoji, and edits: a Transfusion for about an hour on two cores.

  ujx train --config configs/emoji/transfusion.py --workdir runs/emoji
  smoke:  --config configs/emoji/transfusion.py:debug

Trains on Noto at 32 px without one fifth of the combinations of person and skin tone. Expect, after 62 minutes (3,435
steps) on two cores, of 200 each: names right to the letter 97% (new combinations 83%), drawings nearest to their own
original of all 3,476 pictures 96% (95%), edits with a result never seen 84%. See experiments/emoji.
"""

from configs import common, demo
from unified_jax.data.document import Text
from unified_jax.data.sources.emoji import Emoji
from unified_jax.evals import emoji as emoji_evals
from unified_jax.models.transfusion import transfusion

objectives = demo.objectives


def get_config(arg=None):
    c = common.base()
    c.steps, c.minutes = 20_000, 62.0
    c.evaluate_every, c.save_every, c.log_every = 500, 500, 20
    c.ema_decay = 0.999
    c.optimizer = common.muon()
    c.tokenizer.update(vocab=2048, documents=8000)
    c.model = dict(width=256, depth=6, num_heads=8, hidden=768, patch=8, image_size=(32, 32), unroll=6, dtype="float32")
    c.source = dict(resolution=32, holdout="combinations", styles=("noto",))
    c.tasks = {"draw": 3.5, "caption": 1.0, "edit": 1.5, "question": 0.3}
    c.packing.rows = 24  # at 14 Muon, whose cost does not depend on the rows, took 30% of a step
    c.packing.layouts = (common.layout(96, text=64, image=64),)
    c.time_shift = 3.0
    c.image_weight = 10.0
    c.drawing = dict(steps=25, guidance_scale=1.5)
    c.test_size = 200
    if arg == "debug":
        c.steps, c.minutes, c.evaluate_every, c.test_size, c.log_every = 4, 0.0, 0, 4, 1
        c.model.update(width=32, depth=2, num_heads=2, hidden=64, unroll=1)
        c.packing.rows, c.tokenizer.documents = 8, 200
    elif arg is not None:
        raise ValueError(f"configs/emoji/transfusion.py: unknown variant {arg!r}; there is 'debug'")
    return c


def texts(c):
    source = Emoji(**c.source, tasks=dict(c.tasks), seed=c.seed + 1, length=c.tokenizer.documents)
    return (part.text for i in range(len(source)) for part in source[i] if isinstance(part, Text))


def model(c, tokenizer):
    return transfusion(tokenizer, **c.model.to_dict())


def data(c):
    return Emoji(**c.source, tasks=dict(c.tasks), seed=c.seed, length=2**30)


def benchmarks(c):
    return emoji_evals.benchmarks(dict(c.source), n=c.test_size, drawing=dict(c.drawing))
