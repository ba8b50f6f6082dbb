"""Sampling FLOPs: what drawing one picture costs, by the formula of ``train.flops``.

    FLOPs = forward(what is given, once) + forward(what the fill runs, as often as it runs it)

All versions of a guided document count. A codec does not: how often a convolution is applied cannot be told from its
kernel. Nor do slots that stand idle while other rows of a batch work.
"""

from typing import Any

from unified_jax.data.document import Document
from unified_jax.data.plan import count
from unified_jax.sampling.fill import Settings
from unified_jax.sampling.requests import without_noised
from unified_jax.train.flops import train_flops


def sampling_flops(model: Any, params: Any, document: Document, settings: Settings) -> float:
    """Of the blank picture that comes first in ``document``, whose given parts are encoded. params: shapes suffice."""
    family, total = model.family, 0.0
    for version in (lambda document: document, family.null, family.blind)[: settings.rows]:
        *given, blank = without_noised(family.write(version(document)))
        fill = family.fills[blank.fill]
        before = count(given) - fill.lead  # what the fill runs itself is part of its work
        work = fill.work(blank.sizes()[fill.stream], settings)
        pairs = before * (before + 1) / 2 + work.slots * before + work.pairs
        entries, reads = {fill.stream: work.entries}, {fill.stream: work.reads}
        # Backward is twice forward.
        total += train_flops(params, slots=before + work.slots, entries=entries, pairs=pairs, reads=reads) / 3
    return total
