"""RandAR: next-token text, and pictures of codes one after another in any order (arXiv:2412.01827, section 3).

    picture:  place code place code ...

Each code is predicted from a slot that says which place it is for. Documents are written in raster order; training
shuffles places and codes alike, and drawing takes an order of chance. As the codes of a picture do not say where they
stand, the slots before them do.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from unified_jax.codecs.base import Codec
from unified_jax.codecs.network import NetworkCodec
from unified_jax.codecs.vq import VectorQuantised
from unified_jax.data.document import Image
from unified_jax.data.pack import Stream
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.model import Model
from unified_jax.models.pictured import Pictures, blank_values, on_grid, pictured
from unified_jax.nn.embed import Tokens
from unified_jax.nn.head import Linear
from unified_jax.sampling.fill import InTurn
from unified_jax.sampling.pick import Id


def rand_ar(
    tokenizer: Tokenizer,
    *,
    width: int = 192,
    codec: Mapping[str, Any] | None = None,
    image_size: tuple[int, int] = (32, 32),
    **body: Any,
) -> Model:
    """One dense decoder over streams of text, places and codes.

    codec: fields of VectorQuantised, as it was trained; its parameters are ``params["codec"]``. image_size: (height,
      width) of drawn pictures, and the largest it reads. body: further fields of ``lm.dense``.
    """
    codec = dict(codec or {})
    module = VectorQuantised(**codec)
    vq = NetworkCodec(module)
    grid = vq.grid(*image_size)
    table = partial(Tokens, width=width, multiplier=width**0.5, dtype=body.get("dtype", "float32"))
    pictures = Pictures(
        codec=vq,
        streams={"place": Stream("main"), "image": Stream("main")},
        embed={"place": table(grid[0] * grid[1]), "image": table(module.codes)},
        heads={"image": Linear(module.codes)},
        write=partial(hinted, codec=vq, image_size=image_size),
        fill=InTurn("image", Id(), hints="place"),
        values_of=partial(on_grid, grid=grid),
    )
    sizes = dict(width=width, image_size=image_size, **body)
    return pictured("rand_ar", tokenizer, pictures=pictures, arguments={"codec": codec, **sizes}, **sizes)


def hinted(image: Image, final: bool, *, codec: Codec, image_size: tuple[int, int]) -> list[Span]:
    """Every code behind its place; a blank: to fill. Raises ValueError for another grid than drawn pictures have."""
    values, grid = blank_values(codec, image_size)
    if image.values is None:
        return [Span(_in_pairs(values), fill="image")]
    if image.values.shape != grid:
        raise ValueError(f"places are numbered on a grid of {grid}, found a picture of {image.values.shape}")
    return [Span(_in_pairs(image.values.reshape(-1)), learn=image.target)]


def _in_pairs(codes: np.ndarray) -> tuple[tuple[str, np.ndarray], ...]:
    pair = lambda i: (("place", np.full(1, i, np.int32)), ("image", codes[i : i + 1]))
    return tuple(part for i in range(len(codes)) for part in pair(i))
