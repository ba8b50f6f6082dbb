"""Chameleon as it was released: text and pictures in, text out (arXiv:2405.09818).

    bos  text  <racm3:break> code ... code <eoss>  text ...  sep  answer

Codes are words of the vocabulary in an order of their own. The release forbids them in what is written, and holds its
codec without the decoder: no picture can be drawn (``ChameleonForConditionalGeneration`` of transformers). The same
architecture, trained from nothing and drawing, is ``chameleon.py``.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from unified_jax.codecs.network import NetworkCodec
from unified_jax.core.types import DTypeLike
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import under
from unified_jax.interop.rules import Copy, Rule
from unified_jax.models.codecs.vqgan import chameleon_vqgan
from unified_jax.models.decoders import chat
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.find import find_decoder
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published
from unified_jax.models.reader import Reader, unprepared
from unified_jax.models.vocabulary import Codes, codes_of
from unified_jax.sampling.fill import Autoregress

DIGITS = {letter: str(digit) for digit, letter in enumerate("ABCDEFGHIJ")}
LETTERS = str.maketrans({digit: letter for letter, digit in DIGITS.items()})


def chameleon(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Raises ValueError for a vocabulary whose codes have gaps."""
    decoder, tied = find_decoder(config, dtype=dtype, **computation), config.get("tie_word_embeddings", False)
    words = text_side(decoder, config, tied=tied, dtype=dtype)
    vq = chameleon_vqgan(Config(config["vq_config"]), dtype=dtype)
    return words.alone(_family(config, beside, words=words, vq=vq))


def _family(config: Config, beside: Beside, *, words: TextSide, vq: Component) -> Family:
    tokenizer, codec, codes = beside.tokenizer, NetworkCodec(vq.module), codes_of(config["vocabulary_map"], _code)
    pictures = chat.Pictures(partial(_spans, tokenizer=tokenizer, codes=codes))
    first, after_last = codes.range
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=tokenizer,
        codec=codec,
        streams={"text": Stream("main")},
        smallest=Layout({"main": 1}, {"text": 1}),
        image_size=(config["vq_config"].get("resolution", 512),) * 2,
        write=partial(_write, tokenizer=tokenizer, pictures=pictures),
        null=without_text,
        fills={"text": Autoregress("text", allowed=(after_last, first), stop=tokenizer.stop)},
        values_of=lambda values: values,
        published=Published(dict(config), tuple(_rules(words, vq)), words.skip, files=beside.files),
        reader=Reader(beside.preprocess or unprepared, codec),
    )


def word(code: int) -> str:
    """Code 134 is IMGIMGBDEZ."""
    return f"IMGIMG{str(code).translate(LETTERS)}Z"


def _code(word: str) -> int | None:
    """The inverse of ``word``; None for what is no code."""
    if not word.startswith("IMGIMG"):
        return None
    return int("".join(DIGITS[letter] for letter in word[len("IMGIMG") : -1]))


def _spans(image: Image, *, tokenizer: ChatTokenizer, codes: Codes) -> list[Span]:
    """A picture's ids between its delimiters. Raises ValueError for a blank one."""
    if image.values is None:
        raise ValueError("Chameleon was released without the decoder of its pictures: it reads them and draws none")
    begin, end = tokenizer.special_id("boi_token"), tokenizer.special_id("eoi_token")
    ids = np.array([begin, *codes.write(image.values).reshape(-1), end], np.int32)
    return [Span((("text", ids),), learn=image.target)]


def _write(document: Document, *, tokenizer: ChatTokenizer, pictures: chat.Pictures) -> list[Span]:
    """Parts one after another, with sep where the answer begins."""
    seps, parts = [], []
    if "sep_token" in tokenizer.special:
        seps.append(Text("", values=np.array([tokenizer.special_id("sep_token")], np.int32)))
    for before, part in zip((None, *document), document):
        parts += seps if part.target and before is not None and not before.target else []
        parts.append(part)
    return chat.plain(Document(parts, document.info), tokenizer=tokenizer, pictures=pictures)


def _rules(words: TextSide, vq: Component) -> Iterator[Rule | Copy]:
    yield from words.rules
    yield from under("model.vqmodel.", vq.published.rules, path="codec/")
