"""Usage: how evenly codebooks were used since it was last read, over all steps between two logs."""

from typing import Any

import numpy as np

from unified_jax.core.types import Array


class Usage:
    """Adds up the counts of codes that a step reports; nothing waits for the device until they are read."""

    def __init__(self):
        self._counts: Array | None = None

    def add(self, metrics: dict[str, Any]) -> None:
        """Takes "codes", float32 [R V], out of a step's metrics, where it is there."""
        counts = metrics.pop("codes", None)
        if counts is not None:
            self._counts = counts if self._counts is None else self._counts + counts

    def read(self) -> dict[str, float]:
        """codes/usage: the share of the codes that occurred. codes/perplexity: exp of the entropy of their
        frequencies, 1 to V. Both are means over a place's quantisers; {} where there are none.
        """
        if self._counts is None:
            return {}
        counts, self._counts = np.asarray(self._counts), None
        p = counts / counts.sum(1, keepdims=True)
        entropy = -(p * np.log(np.where(p > 0, p, 1.0))).sum(1)
        return {"codes/usage": float((counts > 0).mean()), "codes/perplexity": float(np.exp(entropy).mean())}
