"""BLIP-2: what learned queries read of a picture, before a language model that was trained on text (arXiv:2301.12597).

    place of a picture -> as many entries as there are queries, causal like words; the first pictures before <bos>

The graph of MiniGPT-4 (arXiv:2304.10592) is this one with ``text_config`` of a Llama.
``Blip2ForConditionalGeneration`` of transformers with a text side that is a decoder, OPT say; it draws no pictures.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from unified_jax.codecs.patch import Patches
from unified_jax.core.types import DTypeLike, Float
from unified_jax.data.document import Document, Image
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import under
from unified_jax.models.connectors import blip2 as connectors
from unified_jax.models.decoders import chat
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.find import find_decoder, text_config
from unified_jax.models.encoders.blip2 import blip2_vision
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published, skip_under
from unified_jax.models.reader import Reader, entries, unprepared
from unified_jax.nn.vision import Vision
from unified_jax.sampling.fill import Autoregress


def blip2(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Raises ValueError for a text side that is no decoder (T5)."""
    text = text_config(Config({**config, "text_config": {"model_type": "opt", **config["text_config"]}}))
    tied = text.get("tie_word_embeddings", False)
    words = text_side(find_decoder(text, dtype=dtype, **computation), text, tied=tied, dtype=dtype)
    tower, connector = blip2_vision(Config(config["vision_config"]), dtype=dtype), connectors.blip2(config, dtype=dtype)
    width, grid, count = text["hidden_size"], tower.module.embed.grid, connector.module.count
    return Model(
        lane={"text": "main", "vision": "main"},
        width={"main": width},
        embed={
            "text": words.tokens,
            "vision": Vision(tower.module, connector.module, width, grid, entries=count, dtype=dtype),
        },
        backbone=words.stack,
        heads={"text": words.head},
        dtype=dtype,
        family=_family(config, beside, words=words, tower=tower, connector=connector),
    )


def _family(config: Config, beside: Beside, *, words: TextSide, tower: Component, connector: Component) -> Family:
    tokenizer, patches = beside.tokenizer, Patches(tower.module.embed.patch)
    grid, count = tower.module.embed.grid, connector.module.count
    # All its language models were trained with bos, though not every file of a tokenizer says so.
    pictures = chat.Pictures(partial(_spans, grid=grid, count=count), start=tokenizer.special.get("bos_token", ""))
    share = shares(np.zeros((grid[0] * grid[1], *patches.shape), patches.dtype), count).shape[1:]
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=tokenizer,
        codec=patches,
        streams={"text": Stream("main"), "vision": Stream("main", share, patches.dtype)},
        smallest=Layout({"main": count}, {"text": 1, "vision": count}),
        image_size=(grid[0] * patches.size, grid[1] * patches.size),
        write=partial(_write, write=partial(chat.plain, tokenizer=tokenizer, pictures=pictures), pictures=pictures),
        null=without_text,
        fills={"text": Autoregress("text", allowed=(0, words.tokens.vocab), stop=tokenizer.stop)},
        values_of=lambda values: values,
        published=_published(config, words, tower, connector, beside),
        reader=Reader(beside.preprocess or unprepared, patches),
    )


def _write(document: Document, *, write: Callable[[Document], list[Span]], pictures: chat.Pictures) -> list[Span]:
    """The parts one after another; pictures that a document begins with stand before bos, as they were trained."""
    first = list(itertools.takewhile(lambda part: isinstance(part, Image), document))
    spans = [span for image in first for span in pictures.spans(image)]
    return spans + write(Document(document[len(first) :], document.info))


def _spans(image: Image, *, grid: tuple[int, int], count: int) -> list[Span]:
    ((stream, patches),) = entries(image, grid=grid).parts
    return [Span(((stream, shares(patches, count)),), learn=False, grid=(1, count))]


def shares(patches: Float[np.ndarray, "T P"], count: int) -> Float[np.ndarray, "N Q"]:
    """A picture's patches as what each of its ``count`` entries carries: equal parts, zeros behind the last patch."""
    size = -(-patches.size // count)
    return np.pad(patches.reshape(-1), (0, count * size - patches.size)).reshape(count, size)


def _published(config: Config, words: TextSide, tower: Component, connector: Component, beside: Beside) -> Published:
    rules = (
        *under("language_model.", words.rules),
        *under("vision_model.", tower.published.rules, path="embed_vision/encoder/"),
        *under("", connector.published.rules, path="embed_vision/connector/"),
    )
    skip = skip_under({"language_model.": words.skip, "vision_model.": tower.published.skip})
    return Published(dict(config), rules, skip, files=beside.files)
