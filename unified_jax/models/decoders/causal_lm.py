"""A language model alone, text in and text out: what published decoders are loaded into.

A published decoder is a Stack with its own fields and a table of names. Both are functions of its ``config.json`` and
live in the family's file; this file makes a Model of them, and the text side of models that see more than text.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn

from unified_jax.codecs.absent import NoPictures
from unified_jax.core.types import DTypeLike
from unified_jax.data.pack import Layout, Stream
from unified_jax.interop.rules import Copy, Rule
from unified_jax.models.decoders import chat
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Published
from unified_jax.nn.embed import Tokens
from unified_jax.nn.head import Capped, Linear, Tied
from unified_jax.nn.stack import Stack
from unified_jax.nn.stages import Stages
from unified_jax.sampling.fill import Autoregress


@dataclasses.dataclass(frozen=True)
class Decoder:
    """What one family makes of a config.

    stack: the layers. rules: published names -> parameters. skip: regex of names that are ignored on purpose.
    multiplier: of embedded ids. softcap: of logits (``nn.head.Capped``). head_bias: of an untied head.
    """

    stack: Stack | Stages
    rules: Sequence[Rule | Copy]
    skip: str = ""
    multiplier: float = 1.0
    softcap: float | None = None
    head_bias: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class TextSide:
    """A decoder with its words: what a Model has of it. rules, skip: as in ``Published``."""

    tokens: Tokens
    head: nn.Module
    stack: Stack | Stages
    rules: Sequence[Rule | Copy]
    skip: str

    def alone(self, family: Family) -> Model:
        """One stream of ids over one lane: of words, or of whatever else has its ids among theirs."""
        return Model(
            lane={"text": "main"},
            width={"main": self.tokens.width},
            embed={"text": self.tokens},
            backbone=self.stack,
            heads={"text": self.head},
            dtype=self.tokens.dtype,
            family=family,
        )


def text_side(decoder: Decoder, config: Mapping[str, Any], *, tied: bool, dtype: DTypeLike) -> TextSide:
    """tied: whether the head is the table of tokens. dtype: of computation; parameters are float32."""
    vocab = config["vocab_size"]
    tokens = Tokens(vocab, config["hidden_size"], multiplier=decoder.multiplier, dtype=dtype)
    head = Tied(tokens) if tied else Linear(vocab, use_bias=decoder.head_bias)
    head = head if decoder.softcap is None else Capped(head, decoder.softcap)
    # Older files repeat a tied table under the head's name.
    skip = "|".join(filter(None, [decoder.skip, r"lm_head\.weight" if tied else ""]))
    return TextSide(tokens, head, decoder.stack, decoder.rules, skip)


def causal_lm(decoder: Decoder, config: Mapping[str, Any], beside: Beside, *, dtype: DTypeLike) -> Model:
    """dtype: of computation; parameters are float32."""
    side = text_side(decoder, config, tied=config.get("tie_word_embeddings", False), dtype=dtype)
    tokenizer = beside.tokenizer
    family = Family(
        name=config["model_type"],
        arguments={},
        tokenizer=tokenizer,
        codec=NoPictures(),
        streams={"text": Stream("main")},
        smallest=Layout({"main": 1}, {"text": 1}),
        image_size=(0, 0),
        write=chat.writer(tokenizer),
        null=without_text,
        fills={"text": Autoregress("text", allowed=(0, config["vocab_size"]), stop=tokenizer.stop)},
        values_of=lambda values: values,
        published=Published(dict(config), side.rules, side.skip, files=beside.files),
    )
    return side.alone(family)
