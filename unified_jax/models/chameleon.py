"""Chameleon: text and image codes as one vocabulary, one causal decoder, one next-token loss (arXiv:2405.09818).

    ids:  0 ... V-1 text, V ... V+n-1 the codes of a vector-quantised codec
    picture:  <boi> code code ... code <eoi>, in raster order, no two-dimensional positions

Queries and keys are normalised (section 2.3), without which the two modalities' norms drift apart; here by RMSNorm,
the library's one norm, where the paper has LayerNorm. Document values are plain codes 0 ... n-1; the shift by V
is made where a picture is written (``codes``) and undone where one is read back (``codes_of``).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from unified_jax.codecs.network import NetworkCodec
from unified_jax.codecs.vq import VectorQuantised
from unified_jax.data.document import Image
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models import lm, script
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.nn.embed import Tokens
from unified_jax.nn.head import Tied
from unified_jax.sampling.fill import Autoregress


def chameleon(
    tokenizer: Tokenizer,
    *,
    width: int = 192,
    codec: Mapping[str, Any] | None = None,
    image_size: tuple[int, int] = (32, 32),
    **body: Any,
) -> Model:
    """One dense decoder over one stream of ids.

    codec: fields of VectorQuantised, as it was trained; its parameters are ``params["codec"]``. image_size: of the
      pictures that are drawn. body: further fields of ``lm.dense`` (depth, num_heads, hidden, remat, dtype ...).
    """
    codec = dict(codec or {})
    arguments = {"width": width, "codec": codec, "image_size": image_size, **body}
    module, first, dtype = VectorQuantised(**codec), tokenizer.vocab, body.get("dtype", "float32")
    vq = NetworkCodec(module)
    grid = vq.grid(*image_size)
    text = Tokens(first + module.codes, width, multiplier=width**0.5, dtype=dtype)
    return Model(
        lane={"text": "main"},
        width={"main": width},
        embed={"text": text},
        backbone=lm.dense(width=width, **body),
        heads={"text": Tied(text)},
        dtype=dtype,
        family=Family(
            name="chameleon",
            arguments=arguments,
            tokenizer=tokenizer,
            codec=vq,
            streams={"text": Stream("main")},
            smallest=Layout({"main": 1}, {"text": 1}),
            image_size=image_size,
            write=partial(script.write, tokenizer=tokenizer, picture=partial(codes, first=first, grid=grid)),
            null=without_text,
            fills={
                "text": Autoregress("text", allowed=(0, first), stop=(tokenizer.special["<eos>"],)),
                "image": Autoregress(
                    "text", allowed=(first, first + module.codes), length=grid[0] * grid[1], picture=True
                ),
            },
            values_of=partial(codes_of, first=first, grid=grid),
        ),
    )


def codes(image: Image, final: bool, *, first: int, grid: tuple[int, int]) -> list[Span]:
    """A picture's ids in raster order, ``first`` being that of code 0; a blank picture: placeholders to fill."""
    if image.values is None:
        return [Span((("text", np.zeros(grid[0] * grid[1], np.int32)),), fill="image")]
    return [Span((("text", image.values.reshape(-1) + np.int32(first)),), learn=image.target)]


def codes_of(ids: np.ndarray, *, first: int, grid: tuple[int, int]) -> np.ndarray:
    """Generated ids [n] -> codes [h w]; raises ValueError when the ids are not one picture's."""
    if len(ids) != grid[0] * grid[1] or ids.min() < first:
        raise ValueError(f"a picture is {grid[0]} x {grid[1]} ids from {first} on, found {len(ids)} from {ids.min()}")
    return ids.reshape(grid) - first
