"""Told: what the words of documents cost a model that has read what stands before them, in nats for each id.

nats = - sum over the learned ids (log p(id | all before)) / their number
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Array, Float, PRNGKeyArray
from unified_jax.data.document import Document, Text
from unified_jax.data.fit import fitted
from unified_jax.data.guard import Source
from unified_jax.data.pack import pack
from unified_jax.evals.benchmark import Benchmark
from unified_jax.evals.interval import mean

AT_ONCE = 8  # documents in one call of the network


@dataclasses.dataclass(frozen=True)
class Told(Text):
    """The true text, and what it cost. nats: of all produced texts of the document, for each id."""

    nats: float = 0.0


def tell(model: Any, params: Any, prompts: Sequence[Document], *, rng: PRNGKeyArray, truths: Source) -> list[Document]:
    """Fills every prompt with the true texts, and what they cost. truths: the prompts' documents, in their order."""
    family = model.family
    documents = [truths[i] for i in range(len(prompts))]
    plans = [family.write(document) for document in family.encode(documents, params)]
    layout = fitted(plans, family.streams, documents=1, smallest=family.smallest)
    costs = []
    for start in range(0, len(plans), AT_ONCE):
        part = plans[start : start + AT_ONCE]
        rows = [[plan] for plan in part] + [[]] * (AT_ONCE - len(part))
        costs += np.asarray(_nats(model, params, pack(rows, family.streams, layout)))[: len(part)].tolist()
    return [_filled(document, nats) for document, nats in zip(documents, costs)]


def benchmark(name: str, title: str, source: Source, *, n: int) -> Benchmark:
    """The mean over the first n documents, or all, without those whose first part to produce is no text.

    Raises ValueError where none is left.
    """
    documents = [source[i] for i in range(min(n, len(source)))]
    truths = [document for document in documents if document.targets and isinstance(document.targets[0], Text)]
    if not truths:
        raise ValueError(f"{name}: none of {len(documents)} documents begins its answer with a text")
    make = partial(tell, truths=truths)
    return Benchmark(name, title, truths, lambda truth, part: part.nats, make=make, score=mean)


@partial(jax.jit, static_argnums=0)
def _nats(model: Any, params: Any, seq: Interleaved) -> Float[Array, "B"]:
    seq = jax.tree.map(jnp.asarray, seq)
    logits = model.apply({"params": params}, seq, method="predict")["text"]
    text = seq.streams["text"]
    told = jnp.take_along_axis(jax.nn.log_softmax(logits), text.values[..., None], -1)[..., 0]
    return -(told * text.weight).sum(1) / jnp.maximum(text.weight.sum(1), 1)


def _filled(document: Document, nats: float) -> Document:
    told = lambda part: Told(part.text, target=True, nats=nats) if isinstance(part, Text) and part.target else part
    return Document(map(told, document), document.info)
