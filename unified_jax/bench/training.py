"""Our side of the benchmarks of training: the step of ``ujx train``, on one batch again and again."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from unified_jax.bench.contender import Contender
from unified_jax.core.sequence import Interleaved
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, pack
from unified_jax.data.plan import Span, count
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.pretrained import build_published, parameters, save_pretrained
from unified_jax.models.transfusion import PATH, transfusion
from unified_jax.objectives.flow import Flow
from unified_jax.objectives.next_token import NextToken
from unified_jax.objectives.total import Objective
from unified_jax.train.optim import optimizer
from unified_jax.train.state import create
from unified_jax.train.step import train_step

# Plain AdamW with clipping; the peers are given the same values.
ADAMW = ConfigDict(
    dict(name="adamw", learning_rate=1e-3, weight_decay=0.0, b1=0.9, b2=0.95, clip=1.0, freeze="", averaged="")
)


def text(*, folder: Path, config: Mapping[str, Any], rows: int, length: int) -> Contender:
    """Next-token training of a published decoder. Leaves fresh weights, as published, and ids in ``folder``."""
    model = build_published(config, ChatTokenizer(None), unroll=config["num_hidden_layers"])  # quicker on CPU
    params = parameters(model, jax.random.key(0))
    save_pretrained(folder, model, params)
    ids = np.random.default_rng(0).integers(0, config["vocab_size"], (rows, length)).astype(np.int32)
    np.save(folder / "ids.npy", ids)
    layout = Layout({"main": length}, {"text": length})
    seq = pack([[[Span((("text", row),))]] for row in ids], model.family.streams, layout)
    return _training(model, params, [NextToken("text")], seq)


def interleaved(*, folder: Path, body: Mapping[str, Any], documents: int, text_ids: int, grid: int) -> Contender:
    """Joint training on documents of some text and a picture, each in a row of its own."""
    model, given = small_transfusion(body, grid)
    rng = np.random.default_rng(0)
    plans = []
    for _ in range(documents):
        ids = rng.integers(0, 256, text_ids).astype(np.int32)
        patches = rng.normal(size=(grid, grid, given["latent"])).astype(np.float32)
        plan = model.family.write(Document([Text("ids", values=ids), Image(target=True, values=patches)]))
        plans.append([dataclasses.replace(span, learn=True) for span in plan])  # the peer learns the text too
    slots = max(map(count, plans))
    room = {"text": slots - grid * grid, "image": grid * grid}
    seq = pack([[plan] for plan in plans], model.family.streams, Layout({"main": slots}, room))
    params = parameters(model, jax.random.key(0))
    return _training(model, params, [NextToken("text"), Flow("image", path=PATH)], seq, slots=slots)


def small_transfusion(body: Mapping[str, Any], grid: int) -> tuple[Any, dict[str, int]]:
    """A model for pictures of grid x grid patches, and the size of one patch."""
    patch = 4
    tokenizer = Tokenizer.train(["a red circle"], vocab=280)  # ids are drawn at random: the words do not matter
    model = transfusion(tokenizer, patch=patch, image_size=(grid * patch, grid * patch), **body)
    return model, {"latent": 3 * patch * patch}


def _training(model: Any, params: Any, objectives: Sequence[Objective], seq: Interleaved, **facts: Any) -> Contender:
    tx = optimizer(ADAMW)
    step = partial(train_step, model=model, objectives=tuple(objectives), tx=tx, ema_decay=0.995)
    step = jax.jit(step, donate_argnums=0)
    batch, rng = jax.tree.map(lambda x: jax.numpy.asarray(x)[None], seq), jax.random.key(1)
    state = [create(params, tx)]

    def run() -> np.ndarray:
        state[0], metrics = step(state[0], batch, rng)
        jax.block_until_ready(state[0])
        return np.asarray(metrics["loss"])

    numbers = sum(x.size for x in jax.tree.leaves(params))
    return Contender(run, {"parameters": numbers, **facts})
