"""What the configs of published systems share: ``c.published`` is a checkpoint folder without its weights, as values.

    c.published      the folder's files by name without ".json": config, preprocessor_config, generation_config ...
    c.words          what the tokenizer trained here needs beside text: tokens, a chat template (``models/reworded.py``)
    c.computation    of the decoder: dtype, attention, remat, unroll
    c.codec.folder   a trained codec of the same sizes, a folder that ``from_pretrained`` reads; "" for one of chance
    c.picture        side of the shapes world's pictures, in pixels

A config names the fields at one published size, and what differs in its variants. Those called ``tiny`` and ``debug``
have smaller numbers and nothing else: network and script are the family's own function in ``models/`` either way.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from configs import common
from unified_jax.data.document import Text
from unified_jax.data.sources.shapes import Shapes, World
from unified_jax.evals import shapes as shapes_evals
from unified_jax.models.pretrained import from_pretrained
from unified_jax.models.reworded import reworded
from unified_jax.objectives.next_token import NextToken

TINY, DEBUG = "tiny", "debug"
READS = {"caption/1": 1.0, "question/1": 2.0}
DRAWS = {"draw/1": 2.0}
EDITS = {"edit/1": 1.0, "edit/2": 1.0}
BOTH = READS | DRAWS
HALF = (0.5, 0.5, 0.5)  # mean and deviation of pixels that networks see in [-1, 1]
ENDS = {"eos_token_id": "<eos>"}  # generation_config.json

# What several systems are built on: Qwen2 and 2.5 of 7B, and SigLIP so400m.
QWEN_7B = dict(
    hidden_size=3584,
    intermediate_size=18_944,
    num_hidden_layers=28,
    num_attention_heads=28,
    num_key_value_heads=4,
    max_position_embeddings=32_768,
    rms_norm_eps=1e-6,
    rope_theta=1_000_000.0,
)
SO400M = dict(hidden_size=1152, intermediate_size=4304, num_attention_heads=16, patch_size=14)

# Small language models and encoders, in the common field names; the words of 512 are the tokenizer's, the rest added.
TEXT = {
    TINY: dict(
        vocab_size=520,
        hidden_size=192,
        intermediate_size=576,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=6,
    ),
    DEBUG: dict(
        vocab_size=520,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
    ),
}
VISION = {
    TINY: dict(hidden_size=128, intermediate_size=384, num_hidden_layers=3, num_attention_heads=4),
    DEBUG: dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2),
}

# A conversation of user and assistant by turns, as of Vicuna.
TURNS = (
    "{% for message in messages %}{% if message['role'] == 'user' %}USER: {% for part in message['content'] %}"
    "{{ '<image>\n' if part['type'] == 'image' else part['text'] }}{% endfor %} ASSISTANT: {% else %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{{ eos_token }}{% endif %}{% endfor %}"
)


def base(
    path: str,
    arg: str | None,
    *,
    published: Mapping[str, Any],
    variants: Mapping[str, Any],
    tasks: Mapping[str, float],
    drawing: Mapping[str, Any] = MappingProxyType({}),
    **words: Any,
) -> ConfigDict:
    """Of a config file and the variant it was asked for, ``tiny`` where for none.

    published: files by name. variants: by name, what differs in them, and ``picture``. drawing: the settings that the
    system is published with. words: fields of ``c.words``. Raises ValueError for an unknown variant.
    """
    name = arg or TINY
    if name not in variants:
        raise ValueError(f"{path}: unknown variant {name!r}; there are {', '.join(variants)}")
    c = common.base()
    c.steps, c.test_size = 2000, 64
    changed = dict(variants[name])
    c.picture, c.tasks = changed.pop("picture"), dict(tasks)
    c.published = ConfigDict(published)
    c.published.update(changed)
    c.words = dict(special={}, added=(), template="") | words
    c.computation = dict(dtype="float32", attention="reference", remat="none", unroll=1)
    c.codec = dict(folder="")
    c.drawing = dict(drawing)
    c.optimizer = common.muon()
    c.packing.rows = 8
    if name == DEBUG:
        c.steps, c.test_size, c.log_every = 4, 2, 1
        c.drawing.update({"steps": 2} if "steps" in drawing else {})
        c.optimizer = common.adamw(3e-3)  # compiles faster
        c.optimizer.warmup = 0
    elif name != TINY:
        c.mesh = ConfigDict({"fsdp": -1})
        c.computation.update(dtype="bfloat16", attention="auto", remat="full")
        c.optimizer = common.adamw(1e-4)
        c.steps, c.packing.rows = 20_000, 128
    c.optimizer.freeze = "codec/.*"
    return c


def sides(side: int) -> dict[str, int]:
    """Of a square."""
    return {"height": side, "width": side}


def cropped(side: int) -> dict[str, dict[str, int]]:
    """How CLIP's processor makes such a square."""
    return {"size": {"shortest_edge": side}, "crop_size": sides(side)}


def layout(text: int, **pictures: int) -> ConfigDict:
    """A packed row with room for so many ids, and for two pictures of every stream, by the entries of one."""
    room = {stream: 2 * entries for stream, entries in pictures.items()}
    return common.layout(text + sum(room.values()), text=text, **room)


def world(c):
    return World(resolution=c.picture)


def texts(c):
    source = Shapes(world=World(), tasks=dict(c.tasks), seed=c.seed + 1)
    return (part.text for i in range(c.tokenizer.documents) for part in source[i] if isinstance(part, Text))


def files(c):
    """The folder's files by name."""
    return {f"{name}.json": fields for name, fields in c.published.to_dict().items()}


def model(c, tokenizer, *, mapped=()):
    """mapped: as of ``reworded``."""
    words = c.words.to_dict() | {"template": c.words.template or None}
    return reworded(tokenizer, files(c), mapped=mapped, **words, **c.computation.to_dict())


def objectives(c):
    """Of systems that write ids one after another, and draw none but those."""
    return (NextToken("text"),)


def given(c, model):
    codec = model.family.codec
    if not c.codec.folder:
        params = codec.init(jax.random.key(c.seed))
        return {"codec": params} if params else {}
    trained, params = from_pretrained(c.codec.folder)
    wanted = jax.eval_shape(codec.init, jax.random.key(0))
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, wanted):
        raise ValueError(f"{c.codec.folder}: its codec has other sizes than the system's:\n{trained.module}")
    return {"codec": params}


def data(c):
    return Shapes(world=world(c), tasks=dict(c.tasks), seed=c.seed)


SCORES = {"caption": "caption_exact", "question": "answer_exact", "draw": "image_exact", "edit": "edit_exact"}


def benchmarks(c):
    """One score of each thing that the system does."""
    wanted = {SCORES[task.partition("/")[0]] for task in c.tasks}
    found = shapes_evals.benchmarks(world(c), n=c.test_size, drawing=dict(c.drawing))
    return tuple(benchmark for benchmark in found if benchmark.name in wanted)
