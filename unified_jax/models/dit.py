"""DiT trained here: patches of one picture, told the noise level and the words by adaLN-Zero (arXiv:2212.09748, 3.2).

    document:  [words] picture             one block: the words come with the picture, at every step
    pooled     a network over the picture alone; of the words it is told their mean, beside the time
    joint      two streams with weights of their own and one attention, told the same (MM-DiT, arXiv:2403.03206, 4)

A class is a word. Words come from a table that is trained with the rest, not from an encoder as in the papers. The
published networks are in ``denoisers/``.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from unified_jax.codecs.base import Codec
from unified_jax.codecs.patch import Patches
from unified_jax.core.noise import Path, Rectified, VariancePreserving
from unified_jax.core.types import DTypeLike
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.dit_bodies import BODIES
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.models.pictured import on_grid
from unified_jax.nn.condition import PooledEmbed, TimeEmbed
from unified_jax.nn.embed import Flat, Placed, Tokens
from unified_jax.nn.head import Linear
from unified_jax.nn.picture_condition import PictureCondition
from unified_jax.sampling.fill import Integrate
from unified_jax.sampling.solvers.ancestral import Ddpm
from unified_jax.sampling.solvers.dpm import Dpm
from unified_jax.sampling.solvers.euler import Euler
from unified_jax.sampling.solvers.jump import Jump
from unified_jax.sampling.solvers.lcm import Lcm
from unified_jax.sampling.solvers.solve import Solver


@dataclasses.dataclass(frozen=True)
class Way:
    """What a picture is made along. path: shared with the objective. said: numbers that the network predicts for each
    one of a patch. told: further fields of ``Told`` that it is told like the time.
    """

    path: Path
    solver: Solver
    said: int = 1
    told: tuple[str, ...] = ()


# By the name a config gives it: Flow; Diffusion; LearnedVariance; Consistency; Shortcut and MeanFlow.
WAYS: Mapping[str, Way] = {
    "flow": Way(Rectified(), Euler()),
    "diffusion": Way(VariancePreserving(), Dpm()),
    "learned_variance": Way(VariancePreserving(), Ddpm(between=None), said=2),
    "consistency": Way(VariancePreserving(), Lcm()),
    "average": Way(Rectified(), Jump(), told=("length",)),
}


def dit(
    tokenizer: Tokenizer,
    *,
    width: int = 192,
    depth: int = 4,
    num_heads: int = 6,
    patch: int = 4,
    image_size: tuple[int, int] = (32, 32),
    way: str = "flow",
    words: str = "pooled",
    dtype: DTypeLike = "float32",
    **computation: str | int,
) -> Model:
    """patch: side of a patch in pixels. image_size: (height, width) of drawn pictures. way: a name in ``WAYS``. words:
    one in ``BODIES``, how they reach the picture. computation: choices of ``lm.computed``.

    Raises ValueError for unknown names, and for a ``width`` that does not divide.
    """
    drawn, body = _find(WAYS, way=way), _find(BODIES, words=words)
    if width % num_heads or width % 4:
        raise ValueError(f"width {width} must be a multiple of num_heads {num_heads}, and of 4")
    codec = Patches(patch)
    pieces = {"pooled": PooledEmbed(width), "time": TimeEmbed(width)}
    pieces |= {field: TimeEmbed(width, field=field) for field in drawn.told}
    sizes = dict(width=width, depth=depth, num_heads=num_heads, dtype=dtype) | computation
    arguments = dict(patch=patch, image_size=image_size, way=way, words=words) | sizes
    return Model(
        lane={"text": "text", "image": "image"},
        width={"text": width, "image": width},
        embed={
            "text": Placed(Tokens(tokenizer.vocab, width, multiplier=width**0.5, dtype=dtype), axes=(0,)),
            "image": Placed(Flat(width, dtype=dtype), axes=(1, 2)),
        },
        condition=PictureCondition(pieces),
        backbone=body(**sizes),
        heads={"image": Linear(drawn.said * codec.shape[0], zero=True)},
        dtype=dtype,
        family=_family(tokenizer, codec, drawn=drawn, arguments=arguments),
    )


def _family(tokenizer: Tokenizer, codec: Codec, *, drawn: Way, arguments: Mapping[str, Any]) -> Family:
    image_size, special = arguments["image_size"], tokenizer.special
    ends = special["<bos>"], special["<eos>"]
    return Family(
        name="dit",
        arguments=arguments,
        tokenizer=tokenizer,
        codec=codec,
        streams={"text": Stream("text"), "image": Stream("image", codec.shape, codec.dtype)},
        smallest=Layout({"text": 1, "image": 1}, {"text": 1, "image": 1}),
        image_size=image_size,
        write=partial(write, tokenizer=tokenizer, ends=ends, codec=codec, image_size=image_size),
        null=without_text,
        fills={"image": Integrate("image", drawn.path, drawn.solver)},
        values_of=partial(on_grid, grid=codec.grid(*image_size)),
    )


def write(
    document: Document, *, tokenizer: Tokenizer, ends: tuple[int, int], codec: Codec, image_size: tuple[int, int]
) -> list[Span]:
    """One span: the words of a given text, if there is one, and a picture to learn or to fill.

    Raises ValueError for a document of other parts.
    """
    kinds = [(type(part), part.target) for part in document]
    if kinds not in ([(Text, False), (Image, True)], [(Image, True)]):
        raise ValueError("this model draws one picture after a text or after nothing: end with Image(target=True)")
    (*texts, picture), (begin, end) = document, ends
    words = tuple(("text", np.array([begin, *tokenizer.encode(text.text), end], np.int32)) for text in texts)
    blank = picture.values is None
    grid = codec.grid(*image_size) if blank else picture.values.shape[:2]
    entries = (grid[0] * grid[1], *codec.shape)
    values = np.zeros(entries, codec.dtype) if blank else picture.values.reshape(entries)
    parts = (*words, ("image", values))
    return [Span(parts, attend="full", learn="image", grid=grid, counted=True, fill="image" if blank else None)]


def _find(table: Mapping[str, Any], **named: str) -> Any:
    ((field, name),) = named.items()
    if name not in table:
        raise ValueError(f"unknown {field} {name!r}; choose one of {', '.join(table)}")
    return table[name]
