"""Transfusion: next-token text and flow-matched image patches in one sequence (arXiv:2408.11039).

Text is causal; each picture is one block whose patches see each other, integrated from noise at once.
"""

from functools import partial
from typing import Any

from unified_jax.codecs.patch import Patches
from unified_jax.core.noise import Rectified
from unified_jax.data.pack import Stream
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.model import Model
from unified_jax.models.pictured import Pictures, at_once, on_grid, pictured
from unified_jax.nn.embed import Latents
from unified_jax.nn.head import Linear
from unified_jax.sampling.fill import Integrate

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
    codec = Patches(patch)
    grid = codec.grid(*image_size)
    pictures = Pictures(
        codec=codec,
        streams={"image": Stream("main", codec.shape, codec.dtype)},
        embed={"image": Latents(width, grid, dtype=body.get("dtype", "float32"))},
        heads={"image": Linear(codec.shape[0], zero=True)},
        write=partial(at_once, codec=codec, image_size=image_size),
        fill=Integrate("image", PATH),
        values_of=partial(on_grid, grid=grid),
    )
    sizes = dict(width=width, image_size=image_size, **body)
    return pictured("transfusion", tokenizer, pictures=pictures, arguments={"patch": patch, **sizes}, **sizes)
