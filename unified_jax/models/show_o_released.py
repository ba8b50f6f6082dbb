"""Show-o as it was released: text in turn, pictures all at once, one vocabulary and one Phi (arXiv:2408.12528).

    drawn       [t2i] <sot> text <eot>    { <soi> code ... code <eoi> }
    answered    { [mmu] <soi> code ... code <eoi> }    <sot> USER: question ASSISTANT: answer <eot>

Braces see all of themselves, the rest is causal: omni-attention (section 3.2). Codes are a stretch of the vocabulary,
behind the words and ten tokens that the release adds to them; the last id is the mask. The release pads prompts on the
left; what it writes there nobody sees, and as positions are relative nothing is written here. The null prompt is empty.

The folder (showlab/show-o-512x512 on the Hub, with what its loader takes from two other repositories):

    config.json, pytorch_model.bin           of ``Showo``, without features of CLIP
    phi/config.json                          of microsoft/phi-1_5
    magvitv2/pytorch_model.bin               of showlab/magvitv2; config.json there only where sizes are others
    tokenizer.json, tokenizer_config.json    of microsoft/phi-1_5

Either file of weights may be pytorch_model.safetensors, which is what ``save_pretrained`` writes. guidance_scale is 1
above the number that the release calls so; its image_temperature is 1.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from unified_jax.core.types import DTypeLike
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text, is_blank
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import renamed
from unified_jax.models.codecs.magvit import magvit
from unified_jax.models.decoders import chat
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.find import find_decoder
from unified_jax.models.family import Family, without_text
from unified_jax.models.masked_codes import codes, drawn, family_of_codes
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config
from unified_jax.nn.borrowed import BorrowedHead, BorrowedTokens
from unified_jax.sampling.fill import Autoregress

ADDED = ("pad", "soi", "eoi", "sov", "eov", "t2i", "mmu", "t2v", "v2v", "lvg")  # behind the words, in this order
LONGEST = 129  # ids of a drawing's prompt; a longer one is cut
END = 50_256  # of phi-1_5, whose config does not say it: what begins a text, and what ends it
QUESTION = "USER: \n{} ASSISTANT:"


def show_o(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Raises ValueError for the variant that reads features of CLIP, and for a
    folder without its Phi's config.
    """
    if config.get("w_clip_vit"):
        raise ValueError("w_clip_vit true: the Show-o that reads pictures through CLIP is not known here")
    if "phi/config.json" not in beside.files:
        raise ValueError("the folder has no phi/config.json, which says what Show-o's language model is")
    # The release normalises queries and keys whatever the config says, and widens the vocabulary.
    phi = beside.files["phi/config.json"] | {"qk_layernorm": True, "vocab_size": config["vocab_size"]}
    words = text_side(find_decoder(Config(phi), dtype=dtype, **computation), phi, tied=False, dtype=dtype)
    vq = magvit(Config(beside.files.get("magvitv2/config.json", {})), dtype=dtype)
    first = config["llm_vocab_size"] + len(ADDED)
    return Model(
        lane={"text": "main", "image": "main"},
        width={"main": phi["hidden_size"]},
        embed={"text": words.tokens, "image": BorrowedTokens(words.tokens, first)},
        backbone=words.stack,
        heads={"text": words.head, "image": BorrowedHead(words.head, first, config["codebook_size"])},
        dtype=dtype,
        family=_family(config, beside, words=words, vq=vq, end=phi.get("eos_token_id") or END),
    )


def _family(config: Config, beside: Beside, *, words: TextSide, vq: Component, end: int) -> Family:
    special = {name: config["llm_vocab_size"] + i for i, name in enumerate(ADDED)} | {"end": end}
    own = {"model.": "pytorch_model.showo.model.", "lm_head.": "pytorch_model.showo.lm_head."}
    return family_of_codes(
        config,
        beside,
        vq=vq,
        stem="pytorch_model",
        rules=renamed(words.rules, own),
        write=lambda grid: _Script(beside.tokenizer, special, grid).write,
        null=without_text,
        fills={
            "text": Autoregress("text", allowed=(0, config["vocab_size"]), stop=(end,)),
            "image": drawn(config["codebook_size"]),
        },
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Script:
    """How documents are written. special: ids of the added tokens, and of the end. grid: of every picture."""

    tokenizer: ChatTokenizer
    special: dict[str, int]
    grid: tuple[int, int]

    def write(self, document: Document) -> list[Span]:
        """Raises ValueError for parts in an order that the release has no prompt for."""
        *given, last = document
        if isinstance(last, Image) and last.target and all(isinstance(x, Text) and not x.target for x in given):
            return [self._asked(given), self._picture(last, before=())]
        if any(isinstance(x, Image) and (i or x.target) for i, x in enumerate(document)):
            raise ValueError(
                "Show-o draws one picture after texts, or reads one before all texts: write other documents so"
            )
        return self._conversation(document)

    def _asked(self, texts: Iterable[Text]) -> Span:
        """The prompt of a drawing."""
        said = [x.values if x.values is not None else self.tokenizer.encode(x.text) for x in texts]
        ids = [self.special["t2i"], self.special["end"], *chain.from_iterable(said)]
        return _text([*ids[: LONGEST - 1], self.special["end"]])

    def _conversation(self, document: Iterable[Text | Image]) -> list[Span]:
        """A picture, if there is one, and then questions and answers; up to the first that is blank."""
        spans, ids = [], [self.special["end"]]
        for part in document:
            if isinstance(part, Image):
                spans.append(self._picture(part, before=(self.special["mmu"],)))
            elif is_blank(part):
                return [*spans, _text(ids), chat.BLANK] if ids else [*spans, chat.BLANK]
            elif part.target:
                said = part.values if part.values is not None else self.tokenizer.encode(part.text)
                spans += [_text(ids)] if ids else []
                spans.append(_text([*said, self.special["end"]], learn=True))
                ids = []
            else:
                values = part.values
                ids += [*(self.tokenizer.encode(QUESTION.format(part.text)) if values is None else values)]
        return [*spans, _text(ids)] if ids else spans

    def _picture(self, image: Image, *, before: tuple[int, ...]) -> Span:
        """A picture with what stands around it, as one block; its codes alone are learned. A blank: all masks."""
        around = [np.array(ids, np.int32) for ids in ([*before, self.special["soi"]], [self.special["eoi"]])]
        return Span(
            (("text", around[0]), ("image", codes(image, grid=self.grid)), ("text", around[1])),
            attend="full",
            learn="image" if image.target else False,
            grid=self.grid,
            counted=True,
            fill="image" if image.values is None else None,
        )


def _text(ids: Sequence[int | np.integer], *, learn: bool = False) -> Span:
    return Span((("text", np.array(ids, np.int32)),), learn=learn)
