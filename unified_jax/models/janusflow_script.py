"""How JanusFlow writes a document (arXiv:2411.07975, section 3; github.com/deepseek-ai/Janus, ``janus/janusflow``).

    answered    <bos> system User: [begin] patches <end_of_image> question Assistant: answer <eos> User: ...
    drawn       <bos> User: text Assistant: [time] latent ... latent

All of it is causal, pictures too. [begin] is a vector of its own, and so is [time], the first entry of a picture that
is drawn; a latent is predicted from its own slot. Nothing follows a drawn picture. Texts that are given as ids stand as
they are, without the words around them.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from unified_jax.codecs.base import Codec
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Part, Text, is_blank
from unified_jax.data.plan import Span, count
from unified_jax.models.decoders.chat import BLANK
from unified_jax.models.reader import entries

SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language.\n\n"
)
UNREAD = "unread"  # among a document's facts: nothing sees its words but the first


@dataclasses.dataclass(frozen=True, eq=False)
class Script:
    """How documents are written. grid: of given pictures, in patches. codec: of drawn ones; drawn: their grid."""

    tokenizer: ChatTokenizer
    grid: tuple[int, int]
    codec: Codec
    drawn: tuple[int, int]

    def write(self, document: Document) -> list[Span]:
        """Spans up to the first blank. Raises ValueError for a picture that is drawn before the end."""
        drawing = any(isinstance(part, Image) and part.target for part in document)
        spans, asked, system = [_text([self.tokenizer.special_id("bos_token")])], [], "" if drawing else SYSTEM
        for part in document:
            if not part.target:
                asked.append(part)
                continue
            spans += self._turn(asked, system)
            asked, system = [], ""
            if isinstance(part, Image):
                return self._drawing(spans, part, document)
            spans.append(BLANK if is_blank(part) else self._answer(part))
            if is_blank(part):
                return spans
        return spans + self._turn(asked, system) if asked else spans

    def _turn(self, parts: Sequence[Part], system: str) -> list[Span]:
        """What a user gives, and the beginning of the answer."""
        if any(isinstance(part, Text) and part.values is not None for part in parts):
            pieces = parts
        else:
            between = [piece for part in parts for piece in (Text("\n"), part)][1:]
            pieces = [Text(f"{system}User: "), *between, Text("\n\nAssistant:")]
        return [span for piece in _joined(pieces) for span in self._given(piece)]

    def _given(self, part: Part) -> list[Span]:
        if isinstance(part, Text):
            return [_text(self.tokenizer.encode(part.text) if part.values is None else part.values)]
        begin = Span((("begin", np.zeros(1, np.int32)),), learn=False)
        return [begin, entries(part, grid=self.grid), _text([self.tokenizer.special_id("<end_of_image>")])]

    def _answer(self, part: Text) -> Span:
        said = self.tokenizer.encode(f" {part.text}") if part.values is None else part.values
        return _text([*said, self.tokenizer.special_id("eos_token")], learn=True)

    def _drawing(self, spans: list[Span], image: Image, document: Document) -> list[Span]:
        """A picture after what was given; a blank one: placeholders to fill."""
        if image is not document[-1]:
            raise ValueError("JanusFlow draws one picture, the last part of a document: give what follows as another")
        size, shape = self.drawn[0] * self.drawn[1], self.codec.shape
        values = np.zeros((*self.drawn, *shape), self.codec.dtype) if image.values is None else image.values
        if values.shape[:2] != self.drawn:
            raise ValueError(f"pictures drawn are {self.drawn[0]} x {self.drawn[1]} here, found {values.shape[:2]}")
        if document.info.get(UNREAD):  # its places stay, and nobody sees them
            first, *rest = spans
            spans = [first, Span((("text", np.zeros(count(rest), np.int32)),), private=True, learn=False)]
        picture = np.concatenate([np.zeros((1, *shape), values.dtype), values.reshape(size, *shape)])
        fill = "image" if image.values is None else None
        steps = (1,) * (1 + size)
        return [*spans, Span((("image", picture),), attend="full", blocks=steps, heading=1, fill=fill)]


def _joined(parts: Sequence[Part]) -> Iterator[Part]:
    """Parts with neighbouring texts as one, so that words and what is between them are tokenised together."""
    text = ""
    for part in parts:
        if isinstance(part, Text) and part.values is None:
            text += part.text
            continue
        yield from [Text(text)] if text else []
        text = ""
        yield part
    yield from [Text(text)] if text else []


def _text(ids: Sequence[int | np.integer] | np.ndarray, *, learn: bool = False) -> Span:
    return Span((("text", np.asarray(ids, np.int32)),), learn=learn)


def unread(document: Document) -> Document:
    """The null prompt: as long as the prompt, of which only the first id is seen."""
    return Document(document, {**document.info, UNREAD: True})
