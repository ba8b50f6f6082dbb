"""VAR: pictures of codes scale by scale, each scale at once from all smaller ones (arXiv:2404.02905), after a text.

    picture:  codes of 1 x 1, then of 2 x 2 ... each scale one block, which sees those before it

An entry is predicted from its own slot, where the smaller scales are shown, enlarged. So no slot holds the code that it
predicts, nothing holds those of the last scale, and a picture can only be a whole answer: it is drawn from text.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from unified_jax.codecs.quantisers.table import find_quantiser
from unified_jax.codecs.scale_codes import ScaleCodes
from unified_jax.codecs.vq import VectorQuantised
from unified_jax.data.document import Image
from unified_jax.data.pack import Stream
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.model import Model
from unified_jax.models.pictured import Pictures, pictured
from unified_jax.nn.head import Linear
from unified_jax.nn.scale_embed import ScaleEmbed
from unified_jax.sampling.fill import NextScale


def var(
    tokenizer: Tokenizer,
    *,
    codec: Mapping[str, Any],
    width: int = 192,
    image_size: tuple[int, int] = (32, 32),
    **body: Any,
) -> Model:
    """One dense decoder over a text stream and a stream of image codes.

    codec: fields of VectorQuantised, with a code of the kind "scales", as it was trained; its parameters are
      ``params["codec"]``. image_size: (height, width) of pictures. body: further fields of ``lm.dense``.
    Raises ValueError where the scales do not fit the pictures.
    """
    codec = dict(codec)
    module = VectorQuantised(**codec)
    vq = ScaleCodes(module, sides=find_quantiser(module.code).sides)
    vq.entries(*image_size)
    counts = tuple(side**2 for side in vq.sides)
    codes = module.codes
    pictures = Pictures(
        codec=vq,
        streams={"image": Stream("main")},
        embed={"image": ScaleEmbed(codes, width, vq.sides, dtype=body.get("dtype", "float32"))},
        heads={"image": Linear(codes)},
        write=partial(by_scale, counts=counts),
        fill=NextScale("image", counts),
        values_of=lambda values: values,
    )
    sizes = dict(width=width, image_size=image_size, **body)
    return pictured("var", tokenizer, pictures=pictures, arguments={"codec": codec, **sizes}, **sizes)


def by_scale(image: Image, final: bool, *, counts: tuple[int, ...]) -> list[Span]:
    """A learned picture, or a blank to fill. Raises ValueError for one that is given or goes on."""
    if image.values is None:
        blank = np.zeros(sum(counts), np.int32)
        return [Span((("image", blank),), attend="full", blocks=counts, fill="image")]
    if not (final and image.target):
        raise ValueError("this model draws a picture as its whole answer; it reads none, and nothing follows one")
    return [Span((("image", image.values),), attend="full", blocks=counts)]
