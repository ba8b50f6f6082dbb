"""Transcript: a text as its ids arrive; where a stop string ends it, and what may be shown of it already."""

from collections.abc import Callable, Sequence

import numpy as np

from unified_jax.data.document import Text


class Transcript:
    """decode: ids -> text. stop: the text ends before the first of these strings."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = ()):
        self._decode, self._stop = decode, stop
        self._ids = self._letters = 0  # shown so far

    def end(self, ids: Sequence[int]) -> tuple[int, str] | None:
        """Once a stop string has come: how many ids lie wholly before it, and the text before it."""
        text = self._decode(ids) if self._stop else ""
        found = [at for string in self._stop if (at := text.find(string)) >= 0]
        if not found:
            return None
        kept = text[: min(found)]
        return max(n for n in range(len(ids)) if kept.startswith(self._decode(ids[:n]))), kept

    def news(self, ids: Sequence[int]) -> Text:
        """What was not shown before: all new ids, and the text that no later id can change or cut away."""
        text = self._decode(ids).rstrip("\ufffd")  # what the first bytes of a letter decode to
        begun = [n for string in self._stop for n in range(1, len(string)) if text.endswith(string[:n])]
        return self.rest(ids, text[: len(text) - max(begun, default=0)])

    def rest(self, ids: Sequence[int] | np.ndarray, text: str) -> Text:
        """What was not shown before of so many ids and so much text."""
        new = Text(text[self._letters :], target=True, values=np.asarray(ids[self._ids :], np.int32))
        self._ids, self._letters = max(self._ids, len(ids)), max(self._letters, len(text))
        return new
