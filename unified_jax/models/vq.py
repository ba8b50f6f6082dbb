"""The image tokenizer as a model of its own: pictures in, their reconstruction out, trained by the common loop.

Each packed row holds one picture, as one stream entry per code: the square of pixels that the code stands for. The
codec's parameters are ``params["codec"]``, which is where a system that uses the trained codec keeps them too.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from unified_jax.codecs.patch import Patches
from unified_jax.codecs.vq import VectorQuantised
from unified_jax.core.reconstruction import Reconstruction
from unified_jax.core.sequence import Interleaved
from unified_jax.data.document import Document, Image, Part
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.family import Family, without_text


class Autoencoder(nn.Module):
    """A codec that predicts every entry of a row from the whole row, through its bottleneck.

    codec: pixels -> (pixels, quantised). grid: (rows, columns) of the one picture of each row.
    """

    codec: VectorQuantised
    grid: tuple[int, int]
    family: Family

    def plan(self, document: Sequence[Part], params: Mapping[str, Any] | None = None) -> list[Span]:
        """The span of the document's one picture."""
        return self.family.plan(document, params)

    def predict(self, seq: Interleaved) -> dict[str, Reconstruction]:
        """{"image": values [B N P] and the codec's penalty [B N]}; raises ValueError when N is not one picture."""
        values = jnp.asarray(seq.streams["image"].values)
        batch, entries, channels = values.shape
        if entries != self.grid[0] * self.grid[1]:
            raise ValueError(
                f"a row holds one picture, {self.grid[0]} x {self.grid[1]} entries of 'image'; found room for {entries}"
            )
        patches = Patches(self.codec.factor)
        pixels, quantised = self.codec(patches.decode({}, values.reshape(batch, *self.grid, channels)))
        flat = patches.encode({}, pixels).reshape(values.shape)
        return {"image": Reconstruction(flat, quantised.penalty.reshape(batch, entries))}


def vq(
    tokenizer: Tokenizer, *, codec: Mapping[str, Any] | None = None, image_size: tuple[int, int] = (32, 32)
) -> Autoencoder:
    """codec: fields of VectorQuantised. The text of documents is ignored. Raises ValueError when ``image_size`` does
    not divide into whole codes.
    """
    codec = dict(codec or {})
    arguments = {k: v for k, v in locals().items() if k != "tokenizer"}
    module = VectorQuantised(**codec)
    patches = Patches(module.factor)
    grid = patches.grid(*image_size)
    return Autoencoder(
        codec=module,
        grid=grid,
        family=Family(
            name="vq",
            arguments=arguments,
            tokenizer=tokenizer,
            codec=patches,
            streams={"image": Stream("main", patches.shape, patches.dtype)},
            smallest=Layout({"main": grid[0] * grid[1]}, {"image": grid[0] * grid[1]}),
            image_size=image_size,
            write=partial(pictures, grid=grid),
            null=without_text,
            fills={},
            values_of=lambda values: values.reshape(*grid, -1),
        ),
    )


def pictures(document: Document, *, grid: tuple[int, int]) -> list[Span]:
    """The document's one picture, context or target, as a span to learn.

    Raises ValueError where there is none, or more than one, or one of another grid: a row holds one picture.
    """
    found = [part.values for part in document if isinstance(part, Image)]
    if len(found) != 1:
        raise ValueError(f"an image tokenizer learns from documents of one picture; this one has {len(found)}")
    if found[0] is None or found[0].shape[:2] != grid:
        size = None if found[0] is None else found[0].shape[:2]
        raise ValueError(f"pictures of {grid[0]} x {grid[1]} patches are learned here, found {size}")
    values = np.reshape(found[0], (grid[0] * grid[1], -1))
    return [Span((("image", values),), attend="full", grid=grid)]
