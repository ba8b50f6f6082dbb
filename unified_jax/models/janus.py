"""Janus and Janus-Pro: pictures are read by SigLIP and drawn as codes, one decoder for both (arXiv:2410.13848).

    read    <boi> rows x columns patches, as an encoder and an aligner show them <eoi>
    drawn   <boi> rows x columns codes, through a table and an aligner of their own <eoi>, by a head of their own

The null prompt of guidance is as long as the prompt: its words are padding, which is attended to; the beginning of the
sequence and of the picture stay (section 3.3 of 2501.17811; ``JanusForConditionalGeneration`` of transformers). The
published settings are guidance_scale 5 and image_temperature 1.
"""

import dataclasses
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from unified_jax.codecs.network import NetworkCodec
from unified_jax.codecs.patch import Patches
from unified_jax.core.types import DTypeLike
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.document import Document, Image
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import dense, renamed, under
from unified_jax.interop.rules import Copy, Rule
from unified_jax.models.codecs.vqgan import janus_vqgan
from unified_jax.models.decoders import chat
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.find import find_decoder, text_config
from unified_jax.models.encoders.janus import janus_vision
from unified_jax.models.family import Family
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published, with_defaults
from unified_jax.models.reader import Reader, entries, unprepared
from unified_jax.nn.connectors.projection import Projection
from unified_jax.nn.embed import Tokens
from unified_jax.nn.head import Hidden
from unified_jax.nn.mlp import find_activation
from unified_jax.nn.projected import Projected
from unified_jax.nn.vision import Vision
from unified_jax.sampling.fill import Autoregress

VISION = {"hidden_act": "gelu", "projection_dim": 2048, "depth": 2}
CODES = {"hidden_act": "gelu", "projection_dim": 2048, "num_hidden_layers": 2, "embed_dim": 8}
UNREAD = "unread"  # among a document's facts: its words are written as padding


def janus(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``."""
    config = with_defaults(config, {"tie_word_embeddings": True})
    text = text_config(config)
    vision, codes = (with_defaults(Config(config[f"{x}_config"]), y) for x, y in (("vision", VISION), ("vq", CODES)))
    decoder, tied = find_decoder(text, dtype=dtype, **computation), config["tie_word_embeddings"]
    words = text_side(decoder, text, tied=tied, dtype=dtype)
    tower, vq = janus_vision(vision, dtype=dtype), janus_vqgan(codes, dtype=dtype)
    width, count = text["hidden_size"], vq.module.codes
    seen = Vision(tower.module, _aligner(vision, vision["depth"], dtype), width, tower.module.embed.grid, dtype=dtype)
    table, aligner = Tokens(count, codes["embed_dim"], dtype=dtype), _aligner(codes, codes["num_hidden_layers"], dtype)
    head = Hidden(count, codes["projection_dim"], find_activation(codes["hidden_act"]), dtype=dtype)
    return Model(
        lane={"text": "main", "vision": "main", "image": "main"},
        width={"main": width},
        embed={"text": words.tokens, "vision": seen, "image": Projected(table, aligner)},
        backbone=words.stack,
        heads={"text": words.head, "image": head},
        dtype=dtype,
        family=_family(config, beside, words=words, tower=tower, vq=vq),
    )


def _aligner(config: Config, depth: int, dtype: DTypeLike) -> Projection:
    width = config["projection_dim"]
    return Projection(width, (width,) * (depth - 1), find_activation(config["hidden_act"]), dtype=dtype)


def _family(config: Config, beside: Beside, *, words: TextSide, tower: Component, vq: Component) -> Family:
    tokenizer, patches, codec = beside.tokenizer, Patches(tower.module.embed.patch), NetworkCodec(vq.module)
    grid, vocab = tower.module.embed.grid, words.tokens.vocab
    size = grid[0] * grid[1]
    pictures = chat.Pictures(
        partial(_spans, tokenizer=tokenizer, grid=grid),
        place=config["image_token_id"],
        start=tokenizer.special["bos_token"] if tokenizer.add_bos else "",
    )
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=tokenizer,
        codec=codec,
        streams={
            "text": Stream("main"),
            "vision": Stream("main", patches.shape, patches.dtype),
            "image": Stream("main"),
        },
        smallest=Layout({"main": size}, {"text": 1, "vision": size, "image": 1}),
        image_size=(grid[0] * vq.module.factor, grid[1] * vq.module.factor),
        write=partial(_write, write=chat.writer(tokenizer, pictures), tokenizer=tokenizer),
        null=lambda document: Document(document, {**document.info, UNREAD: True}),
        fills={
            "text": Autoregress("text", allowed=(0, vocab), stop=tokenizer.stop),
            "image": Autoregress("image", allowed=(0, codec.module.codes), length=size, picture=True, after="text"),
        },
        values_of=lambda values: values.reshape(grid),
        published=Published(dict(config), tuple(_rules(words, tower, vq)), words.skip, files=beside.files),
        reader=Reader(beside.preprocess or unprepared, patches),
    )


def _spans(image: Image, *, tokenizer: ChatTokenizer, grid: tuple[int, int]) -> list[Span]:
    """A picture between its delimiters; a blank one: placeholders to fill after the first."""
    begin, end = (
        Span((("text", np.array([tokenizer.special_id(name)], np.int32)),), learn=False)
        for name in ("boi_token", "eoi_token")
    )
    if not image.target:
        return [begin, entries(image, grid=grid), end]
    if image.values is None:
        return [begin, Span((("image", np.zeros(grid[0] * grid[1], np.int32)),), fill="image")]
    return [begin, Span((("image", image.values.reshape(-1)),)), end]


def _write(document: Document, *, write: Callable[[Document], list[Span]], tokenizer: ChatTokenizer) -> list[Span]:
    spans = write(document)
    if not document.info.get(UNREAD):
        return spans
    kept, pad = [tokenizer.special_id(name) for name in ("bos_token", "boi_token")], tokenizer.special_id("pad_token")
    padded = lambda stream, x: np.where(np.isin(x, kept), x, pad).astype(np.int32) if stream == "text" else x
    return [
        dataclasses.replace(span, parts=tuple((stream, padded(stream, x)) for stream, x in span.parts))
        for span in spans
    ]


def _rules(words: TextSide, tower: Component, vq: Component) -> Iterator[Rule | Copy]:
    yield from renamed(words.rules, {"model.": "model.language_model.", "lm_head.": "lm_head."})
    yield from under("model.vision_model.", tower.published.rules, path="embed_vision/encoder/")
    yield from under("model.vqmodel.", vq.published.rules, path="codec/")
    yield Rule("model.generation_embeddings.weight", "embed_image/tokens/table")
    yield from dense("model.generation_head.proj_out", "heads_image/hidden")
    yield from dense("model.generation_head.vision_head", "heads_image/out")
    yield from _aligner_rules("model.aligner", "embed_vision/connector", tower.published.config["depth"])
    yield from _aligner_rules(
        "model.generation_aligner", "embed_image/connector", vq.published.config["num_hidden_layers"]
    )


def _aligner_rules(name: str, path: str, depth: int) -> Iterator[Rule]:
    published = [f"{name}.fc1", *(f"{name}.hidden_layers.{i}" for i in range(depth - 1))]
    for one, own in zip(published, [*(f"layer_{i}" for i in range(depth - 1)), "out"]):
        yield from dense(one, f"{path}/{own}")
