"""DiT trained here: patches of one picture, told the noise level and the words by adaLN-Zero (arXiv:2212.09748, 3.2).

    document:  [words] picture             one block: the words come with the picture, at every step
    pooled     a network over the picture alone; of the words it is told their mean, beside the time
    joint      two streams with weights of their own and one attention, told the same (MM-DiT, arXiv:2403.03206, 4)

A class is a word. Words come from a table that is trained with the rest, not from an encoder as in the papers. The
published networks are in ``denoisers/``.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from unified_jax.codecs.base import Codec
from unified_jax.codecs.patch import Patches
from unified_jax.core.noise import Path, Rectified, VariancePreserving
from unified_jax.core.types import DTypeLike
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models import lm
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.models.pictured import on_grid
from unified_jax.nn.adaptive_norm import AdaNorm
from unified_jax.nn.block import Block
from unified_jax.nn.condition import PooledEmbed, TimeEmbed
from unified_jax.nn.embed import Flat, Placed, Tokens
from unified_jax.nn.head import Linear
from unified_jax.nn.mlp import Mlp
from unified_jax.nn.picture_condition import PictureCondition
from unified_jax.nn.picture_stack import PictureStack
from unified_jax.nn.rope import NoRope
from unified_jax.nn.stack import Stack
from unified_jax.nn.stages import Stages
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
    codec, special = Patches(patch), tokenizer.special
    script = dict(tokenizer=tokenizer, ends=(special["<bos>"], special["<eos>"]), codec=codec, image_size=image_size)
    pieces = {"pooled": PooledEmbed(width), "time": TimeEmbed(width)}
    pieces |= {field: TimeEmbed(width, field=field) for field in drawn.told}
    sizes = dict(width=width, depth=depth, num_heads=num_heads)
    return Model(
        lane={"text": "text", "image": "image"},
        width={"text": width, "image": width},
        embed={
            "text": Placed(Tokens(tokenizer.vocab, width, multiplier=width**0.5, dtype=dtype), axes=(0,)),
            "image": Placed(Flat(width, dtype=dtype), axes=(1, 2)),
        },
        condition=PictureCondition(pieces),
        backbone=body(**sizes, dtype=dtype, **computation),
        heads={"image": Linear(drawn.said * codec.shape[0], zero=True)},
        dtype=dtype,
        family=Family(
            name="dit",
            arguments=dict(patch=patch, image_size=image_size, way=way, words=words, dtype=dtype) | sizes | computation,
            tokenizer=tokenizer,
            codec=codec,
            streams={"text": Stream("text"), "image": Stream("image", codec.shape, codec.dtype)},
            smallest=Layout({"text": 1, "image": 1}, {"text": 1, "image": 1}),
            image_size=image_size,
            write=partial(write, **script),
            null=without_text,
            fills={"image": Integrate("image", drawn.path, drawn.solver)},
            values_of=partial(on_grid, grid=codec.grid(*image_size)),
        ),
    )


def pooled(*, width: int, depth: int, num_heads: int, dtype: DTypeLike, **computation: str | int) -> PictureStack:
    """Layers over the picture's lane alone."""
    block = _block(width, num_heads, route={"image": "image"}, dtype=dtype)
    return _told(_stack(block, depth, **computation), ("image",))


def joint(*, width: int, depth: int, num_heads: int, dtype: DTypeLike, **computation: str | int) -> PictureStack:
    """Layers over both lanes; in the last, words are only read."""
    route = {"image": "image", "text": "text"}
    both = _block(width, num_heads, route=route, dtype=dtype)
    closing = {"image": AdaNorm, "text": partial(AdaNorm, parts=("shift", "scale"))}
    last = partial(both, pre_norm=closing, ends=("text",))
    runs = [(both, depth - 1), (last, 1)] if depth > 1 else [(last, 1)]
    stages = tuple(_stack(block, layers, **computation) for block, layers in runs)
    return _told(Stages(stages), ("image", "text"))


BODIES: Mapping[str, Callable[..., PictureStack]] = {"pooled": pooled, "joint": joint}


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


def _told(stack: Stack | Stages, lanes: tuple[str, ...]) -> PictureStack:
    return PictureStack(stack, AdaNorm(parts=("shift", "scale")), lanes)


def _stack(block: Callable[..., Block], depth: int, **computation: str | int) -> Stack:
    stack = Stack(block, depth, NoRope(block.keywords["head_dim"]), norm=None)
    return lm.computed(stack, **computation)


def _block(width: int, num_heads: int, *, route: Mapping[str, str], dtype: DTypeLike) -> partial[Block]:
    return partial(
        Block,
        num_heads=num_heads,
        head_dim=width // num_heads,
        mlp=partial(Mlp, 4 * width, jax.nn.gelu, dtype=dtype),
        route=route,
        pre_norm=AdaNorm,
        qkv_bias=True,
        out_bias=True,
        dtype=dtype,
    )


def _find(table: Mapping[str, Any], **named: str) -> Any:
    ((field, name),) = named.items()
    if name not in table:
        raise ValueError(f"unknown {field} {name!r}; choose one of {', '.join(table)}")
    return table[name]
