"""Script: the turn order shared by families that write documents as one text stream with pictures between delimiters.

    <bos> given parts ... <turn> answer ...                 picture = <boi> patches or codes <eoi>
    answer = produced texts and pictures in any order <eos>

``<turn>`` stands where the given part ends and the answer begins. What follows a produced text is learned, so a model
decides there between a picture (``<boi>``) and the end (``<eos>``). One text that follows another needs ``<eos>`` too.
"""

from collections.abc import Callable

import numpy as np

from unified_jax.data.document import Document, Image, Part, Text
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer

Picture = Callable[[Image, bool], list[Span]]


def write(document: Document, *, tokenizer: Tokenizer, picture: Picture, room: int = 1) -> list[Span]:
    """Spans of one document. The plan ends at the first blank target, whose span names its ``fill``.

    picture(image, final): the spans between <boi> and <eoi>; ``final`` tells that the document ends with the picture,
      which is given or a whole answer, and <eoi> is left out too. room: placeholder entries of a blank text.
    """
    special, run, parts = tokenizer.special, _Run(), document.parts
    run.say([special["<bos>"]], learn=False)
    for before, part, after in zip((None, *parts), parts, (*parts[1:], None)):
        begins = part.target and not _produced(before)
        if begins:
            run.say([special["<turn>"]], learn=False)
        if isinstance(part, Text):
            if part.text is None and part.values is None:
                return run.end(Span((("text", np.zeros(room, np.int32)),), fill="text"))
            run.say(tokenizer.encode(part.text) if part.values is None else part.values, learn=part.target)
        else:
            run.say([special["<boi>"]], learn=part.target)
            # Closing a drawing that is a whole answer would teach nothing but an end, at the price of its clean copy.
            final = after is None and (begins or not part.target)
            spans = picture(part, final)
            run.spans(spans)
            if final or spans[-1].fill is not None:
                return run.end()
            run.say([special["<eoi>"]], learn=False)
        if part.target and (not _produced(after) or isinstance(part, Text) and isinstance(after, Text)):
            run.say([special["<eos>"]], learn=True)
    return run.end()


def _produced(part: Part | None) -> bool:
    return part is not None and part.target


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
