"""NextStep: next-token text, and pictures of patches one after another, each made by a small flow of its own.

The sequence holds clean patches and is causal throughout; a head turns noise into the next patch, given the state
before it (NextStep-1, arXiv:2508.10711, section 2; the head is MAR's, arXiv:2406.11838, section 3.2).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from unified_jax.codecs.patch import Patches
from unified_jax.core.noise import Rectified
from unified_jax.data.pack import Stream
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.model import Model
from unified_jax.models.pictured import Pictures, in_turn, on_grid, pictured
from unified_jax.nn.embed import Latents
from unified_jax.nn.head import TokenFlow
from unified_jax.sampling.fill import InTurn
from unified_jax.sampling.pick import Vector

PATH = Rectified(prediction="clean", floor=1.0)  # as in transfusion.py, and for the same reason


def next_step(
    tokenizer: Tokenizer,
    *,
    width: int = 192,
    patch: int = 8,
    image_size: tuple[int, int] = (32, 32),
    head: Mapping[str, int] | None = None,
    **body: Any,
) -> Model:
    """One dense decoder over a text stream and a stream of image patches.

    patch: side of a patch in pixels. image_size: (height, width) of drawn pictures, and the largest it reads. head:
      fields of ``TokenFlow`` (width, depth). body: further fields of ``lm.dense``.
    """
    codec, head = Patches(patch), dict(head or {"width": width, "depth": 3})
    grid = codec.grid(*image_size)
    pictures = Pictures(
        codec=codec,
        streams={"image": Stream("main", codec.shape, codec.dtype)},
        embed={"image": Latents(width, grid, dtype=body.get("dtype", "float32"))},
        heads={"image": TokenFlow(codec.shape[0], **head)},
        write=partial(in_turn, codec=codec, image_size=image_size),
        fill=InTurn("image", Vector(PATH)),
        values_of=partial(on_grid, grid=grid),
    )
    sizes = dict(width=width, image_size=image_size, **body)
    arguments = {"patch": patch, "head": head, **sizes}
    return pictured("next_step", tokenizer, pictures=pictures, arguments=arguments, **sizes)
