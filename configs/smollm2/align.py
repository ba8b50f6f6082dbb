r"""SmolLM2 learns to see: a small ViT and two affine maps before a language model that stays (LLaVA, arXiv:2304.08485).

  ujx train --config configs/smollm2/align.py --workdir runs/smollm2_align              1: the language model stays
  ujx train --config configs/smollm2/align.py:lora --workdir runs/smollm2_align_lora    2: adapters in it, too
  smoke:  --config configs/smollm2/align.py:debug

Captions and answers about shapes, captions of emoji. Pictures are 36 x 36, a patch as large as a cell of a scene. The
first stage trains the ViT, from chance, and what lies between; the second starts from the checkpoint of the first. What
is trained is what ``lora`` names: everything else is no part of the gradient. Each leaves ``model/``, a folder in the
layout of LlavaForConditionalGeneration. ``plain_nats`` and ``plain_nats_before`` in metrics.json are what sentences
without pictures cost, now and the language model alone. Scores: experiments/smollm2.
"""

from configs import common, published
from configs.smollm2 import language
from unified_jax.data.sources.emoji import Emoji
from unified_jax.data.sources.mixed import Mixed
from unified_jax.data.sources.shapes import Shapes
from unified_jax.evals import shapes as shapes_evals
from unified_jax.evals import told
from unified_jax.models.pretrained import open_pretrained
from unified_jax.objectives.next_token import NextToken
from unified_jax.train.sharding import make_mesh, placed

world = published.world
VISION = dict(
    model_type="clip_vision_model",
    hidden_size=192,
    intermediate_size=576,
    num_hidden_layers=3,
    num_attention_heads=6,
    image_size=36,
    patch_size=12,
    projection_dim=192,
)


def get_config(arg=None):
    variants = arg.split(",") if arg else []
    if unknown := [variant for variant in variants if variant not in ("lora", "debug")]:
        raise ValueError(f"configs/smollm2/align.py: unknown variant {unknown[0]!r}; there are 'lora' and 'debug'")
    c = common.base()
    c.steps, c.minutes, c.save_every, c.log_every = 20_000, 10.0, 0, 10
    c.ema_decay = 0.98
    c.language_model, c.checkpoint = "", ""
    c.picture = 36
    c.tasks, c.emoji = {"caption/1": 1.0, "question/1": 1.0}, 0.25  # the share of documents
    c.published = dict(
        config=dict(
            model_type="llava", image_token_index=language.PICTURE, vision_feature_layer=-1, vision_config=VISION
        ),
        preprocessor_config=dict(image_processor_type="CLIPImageProcessor", **published.cropped(36)),
    )
    c.computation = dict(dtype="float32", attention="reference", remat="none", unroll=1)
    c.lora = dict(pattern="", rank=8, alpha=16.0, whole="embed_vision/.*")
    c.optimizer = common.adamw(1e-3)
    c.optimizer.warmup = 20
    c.packing.rows, c.packing.null_rate = 2, 0.0
    c.packing.layouts = (common.layout(88, text=61, vision=27),)
    c.test_size = 64
    if "lora" in variants:
        c.minutes, c.checkpoint = 2.5, "runs/smollm2_align/model"
        c.lora.pattern = r"backbone/layer/.*kernel"
        c.optimizer.learning_rate = 3e-4
    if "debug" in variants:
        c.language_model = language.EXAMPLE
        c.published.config.vision_config.update(published.VISION[published.DEBUG])
        c.steps, c.minutes, c.log_every, c.test_size = 4, 0.0, 1, 2
        c.packing.rows, c.optimizer.warmup = 8, 0
    return c


def model(c, tokenizer):
    return _trained(c).model if c.checkpoint else language.system(c, language.TURNS)


def given(c, model):
    if c.checkpoint:
        return _trained(c).read(lambda shapes: placed(shapes, make_mesh(dict(c.mesh))))
    return language.weights(c)


def _trained(c):
    return open_pretrained(c.checkpoint, **c.computation.to_dict())


def objectives(c):
    return (NextToken("text"),)


def data(c):
    shapes = Shapes(world=world(c), tasks=dict(c.tasks), seed=c.seed)
    return Mixed((shapes, _emoji(c, "train", c.seed)), (1 - c.emoji, c.emoji), seed=c.seed)


def _emoji(c, split, seed):
    return Emoji(resolution=c.picture, holdout="combinations", split=split, tasks={"caption": 1.0}, seed=seed)


def benchmarks(c):
    found = shapes_evals.benchmarks(world(c), n=c.test_size, drawing={})
    wanted = [benchmark for benchmark in found if benchmark.name in ("caption_exact", "answer_exact")]
    new, title = _emoji(c, "held_out", c.seed + 1), "names of emoji, combinations never seen, nats for each id"
    named = told.benchmark("emoji_nats", title, new, n=c.test_size)
    return (*wanted, named, *language.kept(c, language.TURNS))
