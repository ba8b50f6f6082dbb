"""Transfusion: next-token text and flow-matched image patches in one sequence (arXiv:2408.11039).

Text is causal; each picture is one block whose patches see each other. A picture to be learned is a noised private
copy; when anything follows it, a clean copy comes after, so that later parts condition on what was drawn and not on
its noise (the order BAGEL trains with, arXiv:2505.14683, section 2.2).
"""

from functools import partial
from typing import Any

import numpy as np

from unified_jax.codecs.base import Codec
from unified_jax.codecs.patch import Patches
from unified_jax.core.noise import Rectified
from unified_jax.data.document import Image
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models import lm, script
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.nn.embed import Latents, Tokens
from unified_jax.nn.head import Linear, Tied
from unified_jax.sampling.fill import Autoregress, Integrate

# A floor of 1 makes the loss that of the data itself at every time. Weighed as velocities, errors near the data count
# up to 400 times as much, and a small network spends its training on the last traces of noise, not on the content.
PATH = Rectified(prediction="clean", floor=1.0)


def transfusion(
    tokenizer: Tokenizer, *, width: int = 192, patch: int = 8, image_size: tuple[int, int] = (32, 32), **body: Any
) -> Model:
    """One dense decoder over a text stream and a stream of image patches.

    patch: side of a patch in pixels. image_size: (height, width) of drawn pictures, and the largest it reads. body:
      further fields of ``lm.dense`` (depth, num_heads, hidden, remat, dtype ...).
    """
    arguments = {"width": width, "patch": patch, "image_size": image_size, **body}
    dtype, codec = body.get("dtype", "float32"), Patches(patch)
    grid, special = codec.grid(*image_size), tokenizer.special
    text = Tokens(tokenizer.vocab, width, multiplier=width**0.5, dtype=dtype)
    streams = {"text": Stream("main"), "image": Stream("main", codec.shape, codec.dtype)}
    return Model(
        lane={name: stream.lane for name, stream in streams.items()},
        width={"main": width},
        embed={"text": text, "image": Latents(width, grid, dtype=dtype)},
        backbone=lm.dense(width=width, places=True, **body),
        heads={"text": Tied(text), "image": Linear(codec.shape[0], zero=True)},
        dtype=dtype,
        family=Family(
            name="transfusion",
            arguments=arguments,
            tokenizer=tokenizer,
            codec=codec,
            streams=streams,
            smallest=Layout({"main": 2}, {"text": 1, "image": 1}),
            image_size=image_size,
            write=partial(
                script.write, tokenizer=tokenizer, picture=partial(patches, codec=codec, image_size=image_size)
            ),
            null=without_text,
            fills={
                "text": Autoregress(
                    "text", allowed=(0, tokenizer.vocab), stop=(special["<eos>"],), opens=(special["<boi>"],)
                ),
                "image": Integrate("image", PATH),
            },
            values_of=lambda values: values.reshape(*grid, -1),
        ),
    )


def patches(image: Image, final: bool, *, codec: Codec, image_size: tuple[int, int]) -> list[Span]:
    """A given picture: clean. A learned one: noised and private, then clean unless final. A blank: to fill."""
    if image.values is None:
        grid = codec.grid(*image_size)
        blank = np.zeros((grid[0] * grid[1], *codec.shape), np.float32)
        return [Span((("image", blank),), attend="full", private=True, grid=grid, fill="image")]
    grid = image.values.shape[:2]
    parts = (("image", image.values.reshape(-1, image.values.shape[-1])),)
    clean = Span(parts, attend="full", learn=False, grid=grid)
    if not image.target:
        return [clean]
    noised = Span(parts, attend="full", private=True, grid=grid)
    return [noised] if final else [noised, clean]
