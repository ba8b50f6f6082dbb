"""Our side of the benchmarks of generation, through the public ``generate_batch``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from unified_jax.bench.contender import Contender
from unified_jax.bench.training import small_transfusion
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text
from unified_jax.models.pretrained import build_published, parameters, save_pretrained
from unified_jax.sampling.generate import generate_batch


def text(*, folder: Path, config: Mapping[str, Any], rows: int, prompt: int, new: int) -> Contender:
    """Greedy ids after given ones. Leaves fresh weights, as a published folder, and the given ids in ``folder``."""
    model = build_published(config, ChatTokenizer(None), unroll=config["num_hidden_layers"])  # quicker on CPU
    params = parameters(model, jax.random.key(0))
    save_pretrained(folder, model, params)
    ids = np.random.default_rng(0).integers(0, config["vocab_size"], (rows, prompt)).astype(np.int32)
    np.save(folder / "ids.npy", ids)
    documents = [[Text("ids", values=row), Text(target=True)] for row in ids]

    def run() -> np.ndarray:
        made = generate_batch(model, params, documents, max_tokens=new)
        return np.stack([document[-1].values for document in made])

    return Contender(run, {"parameters": sum(x.size for x in jax.tree.leaves(params))})


def interleaved(*, folder: Path, body: Mapping[str, Any], text_ids: int, grid: int, steps: int) -> Contender:
    """Two pictures, drawn one after the other, each after some given ids."""
    model, _ = small_transfusion(body, grid)
    params = parameters(model, jax.random.key(0))
    given = lambda seed: Text("ids", values=np.random.default_rng(seed).integers(0, 256, text_ids).astype(np.int32))
    document = Document([given(0), Image(target=True), given(1), Image(target=True)])

    def run() -> None:
        generate_batch(model, params, [document], steps=steps)

    return Contender(run, {"parameters": sum(x.size for x in jax.tree.leaves(params))})
