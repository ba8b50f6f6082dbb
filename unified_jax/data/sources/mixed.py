"""Mixed: several sources as one, each document from one of them, drawn by weight."""

import dataclasses
import operator
from collections.abc import Sequence

import numpy as np

from unified_jax.data.document import Document
from unified_jax.data.guard import Source


@dataclasses.dataclass(frozen=True, eq=False)
class Mixed:
    """A random-access source as long as the longest of ``sources``; a shorter one begins anew.

    weights: of each source, in their order. seed: draws which source a document is from.
    Raises ValueError unless there are as many weights as sources, none negative and not all zero.
    """

    sources: Sequence[Source]
    weights: Sequence[float]
    seed: int = 0

    def __post_init__(self):
        if len(self.sources) != len(self.weights) or min(self.weights) < 0 or not sum(self.weights) > 0:
            raise ValueError(f"{len(self.sources)} sources need as many weights of 0 or more, found {self.weights}")

    def __len__(self) -> int:
        return max(map(len, self.sources))

    def __getitem__(self, index: int) -> Document:
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside a source of {len(self)} documents")
        thresholds = np.cumsum(self.weights) / sum(self.weights)
        drawn = np.random.default_rng((self.seed, index)).random()
        source = self.sources[int(np.searchsorted(thresholds, drawn, side="right"))]
        return source[index % len(source)]
