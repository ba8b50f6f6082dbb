"""generate: fill the blanks of documents, one after another, by an engine as large as the call needs."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from unified_jax.core.types import PRNGKeyArray
from unified_jax.data.document import Document, Part
from unified_jax.sampling.engine import Engine, OnPart
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.prefill import power_of_two
from unified_jax.sampling.requests import Request


def generate(
    model, params: Any, document: Sequence[Part], *, rng: PRNGKeyArray | None = None, **settings: Any
) -> Document:
    """The document with every blank target filled in; see ``generate_batch``."""
    return generate_batch(model, params, [document], rng=rng, **settings)[0]


def generate_batch(
    model,
    params: Any,
    documents: Sequence[Sequence[Part]],
    *,
    rng: PRNGKeyArray | None = None,
    batch_size: int = 32,
    on_part: OnPart | None = None,
    **settings: Any,
) -> list[Document]:
    """Documents with their blank targets filled, in the order given.

    model: anything with ``__call__(seq, cache)``, ``read``, ``apart`` and a ``family``. rng: one key for the whole
      call; each document draws from its own fold of it, so the result does not depend on its neighbours in the batch.
    batch_size: most documents that are served at the same time. on_part: as in ``Engine.generate``.
    settings: fields of ``sampling.fill.Settings`` (steps, guidance_scale, temperature, top_k, top_p, max_tokens...).
    Raises ValueError for a document with nothing to fill, an unusable part, or an impossible setting.
    """
    names = {field.name for field in dataclasses.fields(Settings)}
    if unknown := set(settings) - names:
        raise ValueError(f"unknown setting {sorted(unknown)[0]!r}; settings are {', '.join(sorted(names))}")
    chosen, rng = Settings(**settings), jax.random.key(0) if rng is None else rng
    requests = [Request(document, jax.random.fold_in(rng, i), chosen) for i, document in enumerate(documents)]
    if not requests:
        return []
    # A power of two keeps the number of compiled sizes small.
    rows = power_of_two(min(len(requests), batch_size)) * chosen.rows
    return Engine(model, params, rows=rows).generate(requests, on_part=on_part)
