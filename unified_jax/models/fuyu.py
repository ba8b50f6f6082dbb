"""Fuyu: patches of a picture of any size straight into the decoder, no encoder (adept.ai/blog/fuyu-8b, 2023).

    patch ... patch newline  ...  patch ... patch newline  <s>  text  <boa>  answer

One affine map takes a patch to a word's place; a row ends with a word, so that the shape is read and not told.
``FuyuForCausalLM`` of transformers. Boxes and points in a prompt are written by the user as the model's own words.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from unified_jax.codecs.patch import Patches
from unified_jax.core.types import DTypeLike
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image, Text, is_blank
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import dense, renamed
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.chat import BLANK
from unified_jax.models.decoders.find import find_decoder
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Config, Published, skip_under, with_defaults
from unified_jax.models.reader import Reader, given, unprepared
from unified_jax.nn.embed import Flat
from unified_jax.sampling.fill import Autoregress

DEFAULTS = {"patch_size": 30, "tie_word_embeddings": False}
TEXT_DEFAULTS = {
    "vocab_size": 262_144,
    "hidden_size": 4096,
    "intermediate_size": 16_384,
    "num_hidden_layers": 36,
    "num_attention_heads": 64,
    "hidden_act": "relu2",
    "max_position_embeddings": 16_384,
    "layer_norm_eps": 1e-5,
    "qk_layernorm": True,
    "rope_theta": 25_000.0,
}
NEWLINE, BEGIN, ANSWER = "|NEWLINE|", "<s>", "<0x04>"  # words of its vocabulary


def fuyu(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Early configs hold the text side's fields among their own."""
    config = with_defaults(config, DEFAULTS)
    text = Config(config.get("text_config") or {**config, "model_type": "persimmon"})
    text = with_defaults(text, TEXT_DEFAULTS)
    decoder, tied = find_decoder(text, dtype=dtype, **computation), config["tie_word_embeddings"]
    words = text_side(decoder, text, tied=tied, dtype=dtype)
    return Model(
        lane={"text": "main", "vision": "main"},
        width={"main": text["hidden_size"]},
        embed={"text": words.tokens, "vision": Flat(text["hidden_size"], dtype=dtype)},
        backbone=words.stack,
        heads={"text": words.head},
        dtype=dtype,
        family=_family(config, beside, words=words),
    )


def _family(config: Config, beside: Beside, *, words: TextSide) -> Family:
    tokenizer, patches = beside.tokenizer, Patches(config["patch_size"])
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=tokenizer,
        codec=patches,
        streams={"text": Stream("main"), "vision": Stream("main", patches.shape, patches.dtype)},
        smallest=Layout({"main": 1}, {"text": 1, "vision": 1}),
        image_size=(1080, 1920),
        write=partial(_write, tokenizer=tokenizer),
        null=without_text,
        fills={"text": Autoregress("text", allowed=(0, words.tokens.vocab), stop=tokenizer.stop)},
        values_of=lambda values: values,
        published=_published(config, words, beside.files),
        reader=Reader(beside.preprocess or unprepared, patches),
    )


def _write(document: Document, *, tokenizer: ChatTokenizer) -> list[Span]:
    """The parts one after another: bos before the first text, <boa> where an answer begins."""
    word = lambda name: _text([tokenizer.special_id(name)])
    spans, begun, before = [], False, None
    for part in document:
        if isinstance(part, Image):
            spans += _rows(part, newline=word(NEWLINE))
        elif part.target:
            spans += [word(ANSWER)] if before is None or not before.target else []
            if is_blank(part):
                return [*spans, BLANK]
            spans.append(_text([*_ids(part, tokenizer), *tokenizer.stop[:1]], learn=True))
        else:
            spans += [_text(_ids(part, tokenizer))] if begun else [word(BEGIN), _text(_ids(part, tokenizer))]
            begun = True
        before = part
    return spans


def _rows(image: Image, *, newline: Span) -> list[Span]:
    return [span for row in given(image) for span in (Span((("vision", row),), learn=False), newline)]


def _ids(part: Text, tokenizer: ChatTokenizer) -> np.ndarray:
    return tokenizer.encode(part.text) if part.values is None else part.values


def _text(ids: Any, *, learn: bool = False) -> Span:
    return Span((("text", np.asarray(ids, np.int32)),), learn=learn)


def _published(config: Config, words: TextSide, files: Mapping[str, Any]) -> Published:
    rules = (
        *renamed(words.rules, {"model.": "language_model.model.", "lm_head.": "language_model.lm_head."}),
        *dense("vision_embed_tokens", "embed_vision/patch"),
    )
    return Published(dict(config), rules, skip_under({"language_model.": words.skip}), former=FORMER, files=files)


# Names of transformers 4.52 to 4.57.
FORMER = {
    r"^model\.language_model\.": "language_model.model.",
    r"^model\.vision_embed_tokens\.": "vision_embed_tokens.",
    r"^lm_head\.": "language_model.lm_head.",
}
