r"""SmolLM2 learns to draw: a mixture of transformers whose pictures have a copy of it (LlamaFusion, arXiv:2412.15188).

  ujx train --config configs/smollm2/mixture.py --workdir runs/smollm2_mixture
  smoke:  --config configs/smollm2/mixture.py:debug

Words go through the language model, which stays; pictures through a second set of norms, projections and feed-forward
weights, which begins as a copy of the first and alone is trained, with what is between patches and states. Shapes and
emoji are drawn from words, 36 x 36 pixels in 9 patches without a codec, by a flow instead of the paper's diffusion. A
network that predicts the picture itself (``models/transfusion.py``) learns in few steps what to draw.

``plain_nats`` and ``plain_nats_before`` in metrics.json are what sentences cost, now and the language model alone. The
run leaves ``model/``, whose tensors of words are named as a Llama's. Scores: experiments/smollm2.
"""

from configs import common, published
from configs.smollm2 import language
from unified_jax.core.noise import shift, uniform
from unified_jax.data.sources.emoji import Emoji
from unified_jax.data.sources.mixed import Mixed
from unified_jax.data.sources.shapes import Shapes
from unified_jax.evals import emoji as emoji_evals
from unified_jax.evals import shapes as shapes_evals
from unified_jax.models import mixture
from unified_jax.models.transfusion import PATH
from unified_jax.objectives.flow import Flow

world = published.world
SCORES = ("image_exact", "retrieved_seen", "retrieved_new")


def get_config(arg=None):
    c = common.base()
    c.steps, c.minutes, c.save_every, c.log_every = 20_000, 7.0, 0, 10
    c.ema_decay = 0.98
    c.language_model = ""
    c.picture = 36
    c.tasks, c.emoji = {"draw/1": 1.0}, 0.25  # the share of documents
    c.published = dict(
        config=dict(
            model_type="llamafusion",
            image_size=36,
            patch_size=12,
            schedule="flow_clean",
            boi_token_id=language.PICTURE,
            eoi_token_id=language.END,
        )
    )
    c.computation = dict(dtype="float32", attention="reference", remat="none", unroll=1)
    c.lora = dict(pattern="", rank=8, alpha=16.0, whole=r"backbone/.*_picture/.*|(embed|heads)_image/.*")
    c.optimizer = common.adamw(5e-4)
    c.optimizer.warmup = 20
    c.time_shift = 3.0  # most of drawing is decided at high noise
    c.packing.rows, c.packing.null_rate = 3, 0.1
    # No document goes on after its picture; the second is for those that would.
    c.packing.layouts = tuple(
        {"lanes": {"main": 32, "picture": 27 + shown}, "streams": {"text": 32, "image": 27, "shown": shown}}
        for shown in (0, 27)
    )
    c.drawing = dict(steps=10, guidance_scale=1.5)
    c.test_size = 64
    if arg == "debug":
        c.language_model = language.EXAMPLE
        c.steps, c.minutes, c.log_every, c.test_size = 4, 0.0, 1, 2
        c.packing.rows, c.optimizer.warmup = 8, 0
    elif arg is not None:
        raise ValueError(f"configs/smollm2/mixture.py: unknown variant {arg!r}; there is 'debug'")
    return c


def model(c, tokenizer):
    return language.system(c, None)


def given(c, model):
    return mixture.grown(language.weights(c))


def objectives(c):
    return (Flow("image", path=PATH, time=lambda rng, shape: shift(uniform(rng, shape), c.time_shift)),)


def _emoji(c):
    return dict(resolution=c.picture, holdout="combinations", styles=("noto",))


def data(c):
    shapes = Shapes(world=world(c), tasks=dict(c.tasks), seed=c.seed)
    return Mixed((shapes, Emoji(**_emoji(c), tasks={"draw": 1.0}, seed=c.seed)), (1 - c.emoji, c.emoji), seed=c.seed)


def benchmarks(c):
    asked = dict(n=c.test_size, drawing=dict(c.drawing))
    found = (*shapes_evals.benchmarks(world(c), **asked), *emoji_evals.benchmarks(_emoji(c), **asked))
    return (*(benchmark for benchmark in found if benchmark.name in SCORES), *language.kept(c, None))
