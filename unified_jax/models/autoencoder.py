"""An autoencoder as a model of its own: pictures in, their reconstruction out, trained by the common loop.

Each packed row holds one picture, as one stream entry per place: the square of pixels that a code or latent stands for.
The codec's parameters are ``params["codec"]``, which is where a system that uses the trained codec keeps them too.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from flax.core import FrozenDict

from unified_jax.codecs.patch import Patches
from unified_jax.core.reconstruction import Reconstruction
from unified_jax.core.sequence import Interleaved
from unified_jax.core.types import Array
from unified_jax.data.document import Document, Image, Part
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.family import Family, without_text
from unified_jax.models.judges import Made


def nothing(bottleneck: Any) -> dict[str, Array]:
    """No report."""
    return {}


class Autoencoder(nn.Module):
    """A codec that predicts every entry of a row from the whole row, through its bottleneck.

    codec: pixels -> (pixels, bottleneck), a bottleneck having ``vectors`` and ``penalty``. grid: (rows, columns) of the
    one picture of each row. judges: of what the codec makes, by the name of their prediction; only training has any.
    report: bottleneck -> what is worth knowing of it while training, by name (``train/usage.py``).
    """

    codec: nn.Module
    grid: tuple[int, int]
    family: Family
    judges: Mapping[str, nn.Module] = FrozenDict()
    report: Callable[[Any], dict[str, Array]] = nothing

    def plan(self, document: Sequence[Part], params: Mapping[str, Any] | None = None) -> list[Span]:
        """The span of the document's one picture."""
        return self.family.plan(document, params)

    def predict(self, seq: Interleaved) -> dict[str, Any]:
        """{"image": values [B N P] and the codec's penalty [B N], judge: what it says}.

        Raises ValueError when N is not one picture.
        """
        values = jnp.asarray(seq.streams["image"].values)
        batch, entries, channels = values.shape
        if entries != self.grid[0] * self.grid[1]:
            raise ValueError(
                f"a row holds one picture, {self.grid[0]} x {self.grid[1]} entries of 'image'; found room for {entries}"
            )
        patches = Patches(self.codec.factor)
        pixels = patches.decode({}, values.reshape(batch, *self.grid, channels))
        made, bottleneck = self.codec(pixels)
        for name, value in self.report(bottleneck).items():
            self.sow("report", name, value)
        flat = patches.encode({}, made).reshape(values.shape)
        told = {name: judge(pixels, Made(made, bottleneck.vectors)) for name, judge in self.judges.items()}
        return {"image": Reconstruction(flat, bottleneck.penalty.reshape(batch, entries)), **told}


def autoencoder(
    name: str,
    codec: nn.Module,
    *,
    tokenizer: Tokenizer,
    arguments: Mapping[str, Any],
    image_size: tuple[int, int],
    report: Callable[[Any], dict[str, Array]] = nothing,
) -> Autoencoder:
    """The model of a codec. name, arguments: of the family function that made it.

    Raises ValueError when ``image_size`` does not divide into whole places.
    """
    patches = Patches(codec.factor)
    grid = patches.grid(*image_size)
    family = Family(
        name=name,
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
    )
    return Autoencoder(codec, grid, family, report=report)


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
