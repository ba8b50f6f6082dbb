"""Extend: run a model on a batch of slots against a cache, without changing the cache."""

from typing import Any

from unified_jax.core.cache import Cache
from unified_jax.core.sequence import Interleaved, Slots
from unified_jax.core.types import Array


def extend(
    model: Any, params: Any, *, seq: Interleaved, cache: Cache | None = None
) -> tuple[dict[str, Array], tuple[Array, ...], Slots]:
    """Predictions at ``read``, and the keys, values and slots that committing would add."""

    def run(module, seq, cache):
        output = module(seq, cache)
        return module.read(output, seq), output.kv, output.slots

    return model.apply({"params": params}, seq, cache, method=run)
