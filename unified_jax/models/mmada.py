"""MMaDA: one LLaDA without a causal mask writes and draws by uncovering masks, in one vocabulary (arXiv:2505.15809).

    drawn       [t2i] <bos> text <eos> <soi> code ... code <eoi>            all codes masks at first, the surest first
    answered    [mmu] <soi> code ... code <eoi> conversation, answer        the answer masks, block by block (LLaDA)

Every slot sees every other, so that what is given sees what is made: a document is one block and nothing of it is kept
between passes. Codes are a stretch of the vocabulary, behind the words of the tokenizer. What is given is the stream
``prompt``, what is written is ``text``. The null prompt of a drawing is empty, that of an answer masks.

The folder (Gen-Verse/MMaDA-8B-Base on the Hub, with the tokenizer of pictures that its loader takes elsewhere):

    config.json, model-*-of-*.safetensors, tokenizer.json ...       of ``MMadaModelLM``; answer_length is ours
    magvitv2/pytorch_model.bin      of showlab/magvitv2, or the same as safetensors; config.json there only where sizes
                                    are others

The release draws with steps 15 and guidance_scale 4.5 (which it calls 3.5) and image_temperature 1; it writes with as
many steps as max_tokens or half of them, and block a quarter to all of those.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from unified_jax.core.types import DTypeLike
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Part, Text, is_blank
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import under
from unified_jax.models import lm
from unified_jax.models.codecs.magvit import magvit
from unified_jax.models.decoders import chat
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.llada import as_llama, llada
from unified_jax.models.family import UNREAD, Family, unread
from unified_jax.models.masked_codes import codes, drawn, family_of_codes
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config
from unified_jax.nn.borrowed import BorrowedHead, BorrowedTokens
from unified_jax.sampling.fill import Unmask

# Ids that LLaDA reserves and MMaDA gives a meaning, unless the tokenizer has tokens that are called so.
RESERVED = {"<|soi|>": 126_084, "<|eoi|>": 126_085, "<|t2i|>": 126_088, "<|mmu|>": 126_089}
HEADERS = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")  # are added to a tokenizer that lacks them
HIDDEN = -1  # among the codes of a picture: a mask
LONGEST = 513  # ids of a drawing's prompt; a longer one is cut


def mmada(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Raises ValueError for layers that are not LLaDA's, and for a folder
    without a tokenizer that names bos and eos.
    """
    decoder = llada(config, dtype=dtype)
    decoder = dataclasses.replace(decoder, stack=lm.computed(decoder.stack, **computation))
    words = text_side(decoder, as_llama(config), tied=False, dtype=dtype)
    vq = magvit(Config(beside.files.get("magvitv2/config.json", {})), dtype=dtype)
    first = _length(beside.tokenizer)
    return Model(
        lane=dict.fromkeys(("prompt", "text", "image"), "main"),
        width={"main": words.tokens.width},
        embed={
            "text": words.tokens,
            "prompt": BorrowedTokens(words.tokens, 0),
            "image": BorrowedTokens(words.tokens, first, config["mask_token_id"]),
        },
        backbone=words.stack,
        heads={"text": words.head, "image": BorrowedHead(words.head, first, config["codebook_size"])},
        dtype=dtype,
        family=_family(config, beside, words=words, vq=vq),
    )


def _length(tokenizer: ChatTokenizer) -> int:
    """The id of the first code. Raises ValueError where only the missing tokenizer could tell it."""
    if not tokenizer.vocab:
        raise ValueError("the folder has no tokenizer.json: MMaDA's codes come behind the words of its tokenizer")
    return tokenizer.vocab + sum(tokenizer.find(name) is None for name in HEADERS)


def _family(config: Config, beside: Beside, *, words: TextSide, vq: Component) -> Family:
    tokenizer, mask = beside.tokenizer, config["mask_token_id"]
    named = {name: tokenizer.find(name) for name in RESERVED}
    special = RESERVED | {name: id for name, id in named.items() if id is not None}
    special |= {name: tokenizer.special_id(name) for name in ("bos_token", "eos_token")}
    ends = {*tokenizer.stop, special["eos_token"], tokenizer.find("<|eot_id|>")} - {None}
    return family_of_codes(
        config,
        beside,
        vq=vq,
        stem="model",
        rules=under("model.", words.rules),
        write=lambda grid: _Script(tokenizer, special, mask, grid, config.get("answer_length", 0)).write,
        null=unread,
        fills={"text": Unmask("text", mask, stop=tuple(sorted(ends))), "image": drawn(HIDDEN)},
        given=("prompt",),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Script:
    """How documents are written. special: ids by name. grid: of every picture. least: ids of a learned answer, behind
    which the end is repeated, so that a longer text of masks is known to end early; the release's loader does so.
    """

    tokenizer: ChatTokenizer
    special: Mapping[str, int]
    mask: int
    grid: tuple[int, int]
    least: int

    def write(self, document: Document) -> list[Span]:
        """Raises ValueError for parts in an order that the release has no prompt for."""
        *given, last = document
        unread = bool(document.info.get(UNREAD))
        if isinstance(last, Image) and last.target and all(isinstance(x, Text) for x in given):
            return [self._drawing([] if unread else given, last)]
        first, *rest = document
        shown, talk = ([first], rest) if isinstance(first, Image) and not first.target else ([], document)
        if any(isinstance(x, Image) for x in talk):
            raise ValueError(
                "MMaDA draws one picture after texts, or reads one before all texts: write other documents so"
            )
        return [self._answer(shown, talk, hide=self._masked if unread else tuple)]

    def _drawing(self, given: Sequence[Part], image: Image) -> Span:
        """A picture after its prompt; its codes alone are learned."""
        said = chain.from_iterable(x.values if x.values is not None else self.tokenizer.encode(x.text) for x in given)
        ids = [self.special["<|t2i|>"], self.special["bos_token"], *said]
        asked = _prompt(*ids[: LONGEST - 1], self.special["eos_token"], self.special["<|soi|>"])
        parts = (asked, ("image", codes(image, grid=self.grid)), _prompt(self.special["<|eoi|>"]))
        fill = "image" if image.values is None else None
        return Span(parts, attend="full", learn="image", grid=self.grid, counted=True, fill=fill)

    def _answer(self, shown: Sequence[Image], talk: Sequence[Part], *, hide: Callable[[list], tuple]) -> Span:
        """The last text after a picture, if there is one, and all that was said; it is learned, or to be made."""
        said, made = chat.writer(self.tokenizer)(Document(talk)), []
        if talk and talk[-1].target:
            *said, answer = said
            made = [*answer.parts] if is_blank(talk[-1]) else [self._ended(answer)]
        before, behind = (self.special["<|mmu|>"], self.special["<|soi|>"]), self.special["<|eoi|>"]
        given = [
            part for x in shown for part in (_prompt(*before), ("image", codes(x, grid=self.grid)), _prompt(behind))
        ]
        given += [_prompt(*values) for span in said for _, values in span.parts]
        fill = "text" if made and is_blank(talk[-1]) else None
        return Span((*hide(given), *made), attend="full", learn="text", counted=True, fill=fill)

    def _ended(self, answer: Span) -> tuple[str, np.ndarray]:
        ((stream, said),) = answer.parts
        spare = max(0, self.least - len(said))
        return stream, np.pad(said, (0, spare), constant_values=self.special["eos_token"])

    def _masked(self, given: list) -> tuple:
        """As many masks as was given."""
        return (_prompt(*[self.mask] * sum(len(values) for _, values in given)),)


def _prompt(*ids: int | np.integer) -> tuple[str, np.ndarray]:
    return "prompt", np.array(ids, np.int32)
