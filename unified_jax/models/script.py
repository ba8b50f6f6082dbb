"""Script: the turn order shared by families that write documents as one text stream with pictures between delimiters.

    <bos> given parts ... <turn> produced parts ... <eos>          picture = <boi> patches or codes <eoi>

``<turn>`` stands where the given part ends and the answer begins; a produced text ends with ``<eos>``.
"""

from collections.abc import Callable

import numpy as np

from unified_jax.data.document import Document, Image, Text
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer

Picture = Callable[[Image, bool], list[Span]]


def write(document: Document, *, tokenizer: Tokenizer, picture: Picture, room: int = 1) -> list[Span]:
    """Spans of one document. The plan ends at the first blank target, whose span names its ``fill``.

    picture(image, final): the spans between <boi> and <eoi>; ``final`` tells that nothing follows the picture, in
      which case <eoi> is left out too. room: placeholder entries of a blank text.
    """
    special, run = tokenizer.special, _Run()
    run.say([special["<bos>"]], learn=False)
    produced = False
    for index, part in enumerate(document):
        final = index == len(document) - 1
        if part.target and not produced:
            run.say([special["<turn>"]], learn=False)
        produced = part.target
        if isinstance(part, Text):
            if part.text is None and part.values is None:
                return run.end(Span((("text", np.zeros(room, np.int32)),), fill="text"))
            ids = tokenizer.encode(part.text) if part.values is None else part.values
            run.say(ids, learn=part.target)
            if part.target:
                run.say([special["<eos>"]], learn=True)
            continue
        run.say([special["<boi>"]], learn=part.target)
        spans = picture(part, final)
        run.spans(spans)
        if spans[-1].fill is not None:
            return run.end()
        if not final:
            run.say([special["<eoi>"]], learn=False)
    return run.end()


class _Run:
    """Collects spans, merging neighbouring text that is learned (or not) alike."""

    def __init__(self):
        self._spans: list[Span] = []
        self._ids: list[np.ndarray] = []
        self._learn = False

    def say(self, ids, *, learn: bool) -> None:
        if self._ids and learn != self._learn:
            self._flush()
        self._learn = learn
        self._ids.append(np.asarray(ids, np.int32))

    def spans(self, spans: list[Span]) -> None:
        self._flush()
        self._spans.extend(spans)

    def end(self, *spans: Span) -> list[Span]:
        self.spans(list(spans))
        return self._spans

    def _flush(self) -> None:
        if self._ids:
            self._spans.append(Span((("text", np.concatenate(self._ids)),), learn=self._learn))
            self._ids = []
