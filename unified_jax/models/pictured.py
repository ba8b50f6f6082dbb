"""Pictured: what families share whose text is one causal stream and whose pictures have streams of their own.

A picture that is made all at once, from noise or masks, is written twice where something follows it: a noised copy that
nobody else sees, then a clean one (the order BAGEL trains with, arXiv:2505.14683, section 2.2). One that is made entry
by entry is written once: what is learned is what later parts see.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import numpy as np

from unified_jax.codecs.base import Codec
from unified_jax.data.document import Image
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models import lm, script
from unified_jax.models.family import Family, without_given, without_text
from unified_jax.models.model import Model
from unified_jax.nn.embed import Tokens
from unified_jax.nn.head import Tied
from unified_jax.sampling.fill import Autoregress, Fill


@dataclasses.dataclass(frozen=True, eq=False)
class Pictures:
    """How a family makes pictures.

    streams: of their entries, by name; ``embed`` and ``heads``: the pieces of each, a stream without a head being
    context alone. write, fill, values_of: as in ``script.write`` and ``Family``.
    """

    codec: Codec
    streams: Mapping[str, Stream]
    embed: Mapping[str, nn.Module]
    heads: Mapping[str, nn.Module]
    write: script.Picture
    fill: Fill
    values_of: Callable[[np.ndarray], np.ndarray]


def pictured(
    name: str,
    tokenizer: Tokenizer,
    *,
    pictures: Pictures,
    arguments: Mapping[str, Any],
    width: int,
    image_size: tuple[int, int],
    **body: Any,
) -> Model:
    """One dense decoder over a text stream and what pictures are made of.

    name, arguments: as in ``Family``. body: further fields of ``lm.dense``.
    """
    dtype, special = body.get("dtype", "float32"), tokenizer.special
    text = Tokens(tokenizer.vocab, width, multiplier=width**0.5, dtype=dtype)
    streams = {"text": Stream("main"), **pictures.streams}
    ids = Autoregress("text", allowed=(0, tokenizer.vocab), stop=(special["<eos>"],), opens=(special["<boi>"],))
    return Model(
        lane={stream: "main" for stream in streams},
        width={"main": width},
        embed={"text": text, **pictures.embed},
        backbone=lm.dense(width=width, places=True, **body),
        heads={"text": Tied(text), **pictures.heads},
        dtype=dtype,
        family=Family(
            name=name,
            arguments=arguments,
            tokenizer=tokenizer,
            codec=pictures.codec,
            streams=streams,
            smallest=Layout({"main": len(streams)}, dict.fromkeys(streams, 1)),
            image_size=image_size,
            write=partial(script.write, tokenizer=tokenizer, picture=pictures.write),
            null=without_text,
            blind=without_given,
            fills={"text": ids, "image": pictures.fill},
            values_of=pictures.values_of,
        ),
    )


def at_once(image: Image, final: bool, *, codec: Codec, image_size: tuple[int, int]) -> list[Span]:
    """A given picture: clean. A learned one: noised and private, then clean unless final. A blank: to fill."""
    if image.values is None:
        blank, grid = blank_values(codec, image_size)
        return [Span((("image", blank),), attend="full", private=True, grid=grid, fill="image")]
    grid = image.values.shape[:2]
    parts = (("image", image.values.reshape(grid[0] * grid[1], *codec.shape)),)
    clean = Span(parts, attend="full", learn=False, grid=grid)
    if not image.target:
        return [clean]
    noised = Span(parts, attend="full", private=True, grid=grid)
    return [noised] if final else [noised, clean]


def in_turn(image: Image, final: bool, *, codec: Codec, image_size: tuple[int, int]) -> list[Span]:
    """A picture entry by entry, each predicted from the one before; a blank: to fill."""
    if image.values is None:
        blank, grid = blank_values(codec, image_size)
        return [Span((("image", blank),), grid=grid, fill="image")]
    grid = image.values.shape[:2]
    values = image.values.reshape(grid[0] * grid[1], *codec.shape)
    return [Span((("image", values),), learn=image.target, grid=grid)]


def blank_values(codec: Codec, image_size: tuple[int, int]) -> tuple[np.ndarray, tuple[int, int]]:
    """Placeholders [n ...] of a picture to fill, and its grid."""
    grid = codec.grid(*image_size)
    return np.zeros((grid[0] * grid[1], *codec.shape), codec.dtype), grid


def on_grid(values: np.ndarray, *, grid: tuple[int, int]) -> np.ndarray:
    """What a fill produced, [n ...], as rows and columns."""
    return values.reshape(*grid, *values.shape[1:])
