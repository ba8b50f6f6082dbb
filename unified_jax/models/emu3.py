"""Emu3: text and pictures as one vocabulary, one decoder, one next-token loss (arXiv:2409.18869).

    picture:  <boi> "rows*columns" <image token>  code ... code <end of row>  ...  <end of frame> <eoi>

Which id may follow inside a drawn picture depends on the place alone: rows and the end are forced. A document that asks
for a picture is written without the chat template; the null prompt of guidance says what a picture should not be. The
published settings are guidance_scale 3, image_temperature 1 and top_k 2048, and " masterpiece, film grained, best
quality." behind the prompt (``Emu3ForConditionalGeneration`` of transformers).
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from unified_jax.codecs.network import NetworkCodec
from unified_jax.core.types import DTypeLike
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import renamed, under
from unified_jax.models.codecs.emu3 import emu3_vqgan
from unified_jax.models.decoders import chat
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.find import find_decoder, text_config
from unified_jax.models.family import Family
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published, skip_under, with_defaults
from unified_jax.models.reader import Reader, unprepared
from unified_jax.models.vocabulary import Codes, codes_of
from unified_jax.sampling.constrain import Range, raster
from unified_jax.sampling.fill import Autoregress

BLAME = (
    "lowres, bad anatomy, bad hands, text, error, missing fingers, extra digit, fewer digits, cropped, worst quality, "
    "low quality, normal quality, jpeg artifacts, signature, watermark, username, blurry."
)
CODE = "<|visual token {:06}|>"  # the word of a code
END_OF_ROW = "<|extra_200|>"
AREA = 720 * 720  # pixels of a drawn picture, where the processor says nothing


def emu3(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Raises ValueError for a vocabulary whose codes have gaps."""
    config, text = with_defaults(config, {"tie_word_embeddings": False}), text_config(config)
    decoder, tied = find_decoder(text, dtype=dtype, **computation), config["tie_word_embeddings"]
    words = text_side(decoder, text, tied=tied, dtype=dtype)
    vq = emu3_vqgan(Config(config["vq_config"]), dtype=dtype)
    return words.alone(_family(config, beside, words=words, vq=vq))


def _family(config: Config, beside: Beside, *, words: TextSide, vq: Component) -> Family:
    tokenizer, codec, names = beside.tokenizer, NetworkCodec(vq.module), config["vocabulary_map"]
    side = round(beside.files.get("processor_config.json", {}).get("image_area", AREA) ** 0.5 / vq.module.factor)
    layout = _Layout(tokenizer, codes_of(names, _code), end_of_row=names[END_OF_ROW], grid=(side, side))
    pictures = chat.Pictures(layout.spans, place=names["<image>"], start=tokenizer.special.get("bos_token", ""))
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=tokenizer,
        codec=codec,
        streams={"text": Stream("main")},
        smallest=Layout({"main": 1}, {"text": 1}),
        image_size=(side * vq.module.factor, side * vq.module.factor),
        write=partial(_write, tokenizer=tokenizer, pictures=pictures),
        null=_blamed,
        fills={
            "text": Autoregress("text", allowed=(0, words.tokens.vocab), stop=tokenizer.stop),
            "image": Autoregress("text", allowed=layout.allowed, length=len(layout.allowed), picture=True),
        },
        values_of=layout.codes_of,
        published=_published(config, words, vq, beside.files),
        reader=Reader(beside.preprocess or unprepared, codec),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Layout:
    """How a picture lies among the words. grid: (rows, columns) of a drawn one."""

    tokenizer: ChatTokenizer
    codes: Codes
    end_of_row: int
    grid: tuple[int, int]

    @property
    def _tail(self) -> list[int]:
        return [self.tokenizer.special_id(name) for name in ("eof_token", "eoi_token")]

    @property
    def allowed(self) -> tuple[Range, ...]:
        """Which ids may follow at every place of a drawn picture."""
        return raster(*self.grid, codes=self.codes.range, end_of_row=self.end_of_row, tail=self._tail)

    def spans(self, image: Image) -> list[Span]:
        """A picture with what stands around it; a blank one: placeholders to fill behind its size."""
        rows, columns = self.grid if image.values is None else image.values.shape
        begin, wrapper = (self.tokenizer.special_id(name) for name in ("boi_token", "image_wrapper_token"))
        size = self.tokenizer.encode(f"{rows}*{columns}")
        head = Span((("text", np.array([begin, *size, wrapper], np.int32)),), learn=False)
        if image.values is None:
            return [head, Span((("text", np.zeros(len(self.allowed), np.int32)),), fill="image")]
        ids = np.pad(self.codes.write(image.values), ((0, 0), (0, 1)), constant_values=self.end_of_row)
        body = np.concatenate([ids.reshape(-1), self._tail]).astype(np.int32)
        return [head, Span((("text", body),), learn=image.target)]

    def codes_of(self, ids: np.ndarray) -> np.ndarray:
        """Generated ids [n] -> codes [rows columns]."""
        rows, columns = self.grid
        return self.codes.read(ids[: rows * (columns + 1)].reshape(rows, columns + 1)[:, :-1])


def _code(word: str) -> int | None:
    begin, end = CODE.split("{:06}")
    return int(word[len(begin) : -len(end)]) if word.startswith(begin) else None


def _write(document: Document, *, tokenizer: ChatTokenizer, pictures: chat.Pictures) -> list[Span]:
    drawing = any(isinstance(part, Image) and part.target for part in document)
    write = chat.plain if drawing else chat.form_of(tokenizer)
    return write(document, tokenizer=tokenizer, pictures=pictures)


def _blamed(document: Document) -> Document:
    """The document with what a picture should not be in the place of its first given text, and no other."""
    given = [i for i, part in enumerate(document) if isinstance(part, Text) and not part.target]
    parts = {i: part for i, part in enumerate(document) if i not in given[1:]}
    return Document((parts | dict.fromkeys(given[:1], Text(BLAME))).values(), document.info)


def _published(config: Config, words: TextSide, vq: Component, files: Mapping[str, Any]) -> Published:
    rules = (
        *renamed(words.rules, {"model.": "text_model.model.", "lm_head.": "text_model.lm_head."}),
        *under("vqmodel.", vq.published.rules, path="codec/"),
    )
    skip = skip_under({"text_model.": words.skip, "vqmodel.": vq.published.skip})
    return Published(dict(config), rules, skip, former=FORMER, files=files)


# Names that other releases of transformers write.
FORMER = {
    r"^model\.text_model\.": "text_model.model.",
    r"^text_model\.(?!model\.|lm_head\.)": "text_model.model.",
    r"^lm_head\.": "text_model.lm_head.",
    r"^model\.vqmodel\.": "vqmodel.",
}
