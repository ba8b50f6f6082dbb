"""Codes among words: one vocabulary whose ids stand for words or for the codes of a picture (Chameleon, Emu3)."""

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from unified_jax.core.types import Int
from unified_jax.sampling.constrain import Range


@dataclasses.dataclass(frozen=True, eq=False)
class Codes:
    """ids: int32 [n], of code 0, 1, 2 and so on."""

    ids: np.ndarray

    @property
    def range(self) -> Range:
        """All of them, half-open. Raises ValueError where other ids lie between."""
        low, high = int(self.ids.min()), int(self.ids.max()) + 1
        if high - low != len(np.unique(self.ids)):
            raise ValueError(f"the ids of codes have gaps: {len(self.ids)} of them from {low} to {high - 1}")
        return low, high

    def write(self, codes: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
        """Codes -> ids."""
        return self.ids[codes]

    def read(self, ids: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
        """Ids -> codes. Raises ValueError for an id that stands for none."""
        order = np.argsort(self.ids)
        at = np.minimum(np.searchsorted(self.ids, ids, sorter=order), len(order) - 1)
        codes = order[at].astype(np.int32)
        if (strange := np.ravel(ids)[np.ravel(self.ids[codes] != ids)]).size:
            raise ValueError(f"id {strange[0]} stands for no code of a picture")
        return codes


def codes_of(vocabulary: Mapping[str, int], code: Callable[[str], int | None]) -> Codes:
    """The codes of a published ``vocabulary_map``. code: a word -> the code it stands for, None for no code.

    Raises ValueError where the codes are not 0, 1, 2 and so on.
    """
    found = {number: id for word, id in vocabulary.items() if (number := code(word)) is not None}
    if sorted(found) != list(range(len(found))) or not found:
        raise ValueError(f"vocabulary_map names {len(found)} codes, which must be numbered from 0 without a gap")
    return Codes(np.array([found[number] for number in range(len(found))], np.int32))
