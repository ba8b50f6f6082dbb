"""Qwen2.5-VL: pictures of any sizes through a tower of windows, 2 x 2 patches to an entry, into a language model that
is told rows and columns (arXiv:2502.13923, section 2.1).

    <|vision_start|> rows x columns entries <|vision_end|>    causal like words

    place (r, c) of a picture that begins at i    stands at (i, i + r, i + c)
    what follows it                               at i + max(rows, columns)

``Qwen2_5_VLForConditionalGeneration`` of transformers, without its videos; it reads pictures and draws none.
"""

from collections.abc import Mapping
from typing import Any

from unified_jax.codecs.grouped import Grouped
from unified_jax.codecs.patch import Patches
from unified_jax.core.types import DTypeLike
from unified_jax.data.document import Image
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import under
from unified_jax.models.connectors import projector
from unified_jax.models.decoders import chat
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.find import find_decoder, text_config
from unified_jax.models.encoders.qwen2_5_vl import qwen2_5_vl_vision
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published, with_defaults
from unified_jax.models.reader import Reader, given, unprepared
from unified_jax.nn.merged_vision import MergedVision
from unified_jax.sampling.fill import Autoregress

DEFAULTS = {"tie_word_embeddings": False, "image_token_id": 151_655}
LARGEST = 128  # squares to a side of the largest picture that is a square: the published processor's max_pixels


def qwen2_5_vl(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Early configs hold the text side's fields among their own."""
    config = with_defaults(config, DEFAULTS)
    early = {**config, "model_type": "qwen2_5_vl_text"}
    text = text_config(Config({"text_config": early, **config}))
    tied = config["tie_word_embeddings"] or text.get("tie_word_embeddings", False)
    words = text_side(find_decoder(text, dtype=dtype, **computation), text, tied=tied, dtype=dtype)
    tower = qwen2_5_vl_vision(Config(config["vision_config"]), dtype=dtype)
    merger, width = projector.qwen2_5_vl(config, dtype=dtype), text["hidden_size"]
    squares = Grouped(Patches(tower.module.embed.patch), merger.module.factor)
    return Model(
        lane={"text": "main", "vision": "main"},
        width={"main": width},
        embed={
            "text": words.tokens,
            "vision": MergedVision(tower.module, merger.module, width, squares.size, dtype=dtype),
        },
        backbone=words.stack,
        heads={"text": words.head},
        dtype=dtype,
        family=_family(
            config,
            beside,
            words=words,
            squares=squares,
            published=_published(config, words, tower, merger, beside.files),
        ),
    )


def _family(config: Config, beside: Beside, *, words: TextSide, squares: Grouped, published: Published) -> Family:
    tokenizer, side = beside.tokenizer, LARGEST * squares.size * squares.codec.size
    pictures = chat.Pictures(
        lambda image: [_span(image)],
        place=config["image_token_id"],
        start=tokenizer.special["bos_token"] if tokenizer.add_bos else "",
    )
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=tokenizer,
        codec=squares,
        streams={"text": Stream("main"), "vision": Stream("main", squares.shape, squares.dtype)},
        smallest=Layout({"main": 2}, {"text": 1, "vision": 1}),
        image_size=(side, side),
        write=chat.writer(tokenizer, pictures),
        null=without_text,
        fills={"text": Autoregress("text", allowed=(0, words.tokens.vocab), stop=tokenizer.stop)},
        values_of=lambda values: values,
        published=published,
        reader=Reader(beside.preprocess or unprepared, squares),
    )


def _span(image: Image) -> Span:
    values = given(image)
    rows, columns = grid = values.shape[:2]
    entries = values.reshape(rows * columns, -1)
    return Span((("vision", entries),), learn=False, grid=grid, extent=max(grid))


def _published(
    config: Config, words: TextSide, tower: Component, merger: Component, files: Mapping[str, Any]
) -> Published:
    rules = (
        *words.rules,
        *under("visual.", tower.published.rules, path="embed_vision/encoder/"),
        *under("", merger.published.rules, path="embed_vision/connector/"),
    )
    return Published(dict(config), rules, words.skip, former=FORMER, files=files)


# Names of transformers since 4.52.
FORMER = {r"^model\.language_model\.": "model.", r"^model\.visual\.": "visual."}
