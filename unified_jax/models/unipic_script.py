"""How Skywork UniPic writes a document (arXiv:2508.03320; github.com/SkyworkAI/UniPic, ``UniPic-1/scripts``).

    answered    <|im_start|>user                                    of several given parts, each begins a line
                picture
                question<|im_end|>
                <|im_start|>assistant
                answer<|im_end|>
    drawn       <|im_start|>user
                Generate an image: text<|im_end|>
                <|im_start|>assistant
                picture

A picture is its entries and then the buffer, causal like words; a drawn entry is predicted from its own slot. The null
prompt is "Generate an image." Texts that are given as ids stand as they are, without the words around them.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Part, Text, is_blank
from unified_jax.data.plan import Span
from unified_jax.models.decoders.chat import BLANK
from unified_jax.models.family import UNREAD
from unified_jax.models.mar_network import MarNetwork

ASK, ANSWER = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
DRAW, NULL = "Generate an image: {}", "Generate an image."


@dataclasses.dataclass(frozen=True, eq=False)
class Script:
    """How documents are written. net: whose pictures they are."""

    tokenizer: ChatTokenizer
    net: MarNetwork

    def write(self, document: Document) -> list[Span]:
        """Spans up to the first blank. Raises ValueError for a picture that is not drawn of words alone."""
        if any(isinstance(part, Image) and part.target for part in document):
            return self._drawing(document)
        spans, asked, begin = [], [], ASK
        for part in document:
            if not part.target:
                asked.append(part)
                continue
            spans += self._asked(asked, begin)
            asked, begin = [], f"\n{ASK}"
            if is_blank(part):
                return [*spans, BLANK]
            said = self.tokenizer.encode(part.text) if part.values is None else part.values
            spans.append(_text([*said, self.tokenizer.special_id("eos_token")], learn=True))
        return spans + self._asked(asked, begin) if asked else spans

    def _drawing(self, document: Document) -> list[Span]:
        *given, image = document
        if not image.target or any(isinstance(part, Image) or part.target for part in given):
            raise ValueError("this model draws one picture of words alone: give it texts and then Image(target=True)")
        asked = self._as_ids(given)
        if not asked:
            words = NULL if document.info.get(UNREAD) else DRAW.format("\n".join(part.text for part in given))
            asked = self._asked([Text(words)], ASK)
        return [*asked, self._picture(image)]

    def _asked(self, parts: Sequence[Part], begin: str) -> list[Span]:
        """What a user gives, and the beginning of the answer."""
        if found := self._as_ids(parts):
            return found
        spans, words = [_text(self.tokenizer.encode(begin, markup=True))], []
        for part in parts:
            if isinstance(part, Text):
                words.append(part.text)
                continue
            spans += [*self._words([*words, ""] if words else []), self._picture(part)]
            words = [""]
        return [*spans, *self._words(words), _text(self.tokenizer.encode(ANSWER, markup=True))]

    def _words(self, lines: Sequence[str]) -> list[Span]:
        ids = self.tokenizer.encode("\n".join(lines))
        return [_text(ids)] if len(ids) else []

    def _as_ids(self, parts: Sequence[Part]) -> list[Span]:
        """The parts as they stand, where any is given as ids."""
        if not any(isinstance(part, Text) and part.values is not None for part in parts):
            return []
        ids = lambda text: self.tokenizer.encode(text.text) if text.values is None else text.values
        return [_text(ids(part)) if isinstance(part, Text) else self._picture(part) for part in parts]

    def _picture(self, image: Image) -> Span:
        return self.net.span(image, blocks=(1,) * self.net.pictures.size)


def _text(ids: Sequence[int | np.integer] | np.ndarray, *, learn: bool = False) -> Span:
    return Span((("text", np.asarray(ids, np.int32)),), learn=learn)
