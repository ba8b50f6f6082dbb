"""Benchmarks of image tokenizers: pictures that go through the codes and must still be read right."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from unified_jax.codecs.base import to_float, to_uint8
from unified_jax.codecs.network import NetworkCodec
from unified_jax.core.types import PRNGKeyArray
from unified_jax.data.document import Document, Image
from unified_jax.data.guard import Source
from unified_jax.data.sources.shapes import Shapes, World
from unified_jax.evals.benchmark import Benchmark
from unified_jax.evals.distinct import Distinct
from unified_jax.evals.shapes import GRADES

COUNTS = ("one object", "two objects", "three objects", "four objects")


@dataclasses.dataclass(frozen=True)
class Copies:
    """Documents of a picture and, as the target, the same picture: taken from ``source``, one for each document."""

    source: Source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Document:
        document = self.source[index]
        picture = next(part for part in document if isinstance(part, Image))
        return Document([Image(picture.pixels), Image(picture.pixels, target=True)], {**document.info, "task": "copy"})


def reconstruct(model: Any, params: Any, documents: Sequence[Document], *, rng: PRNGKeyArray) -> list[Document]:
    """Fills the blank of every document with what the model's codec makes of the picture before it.

    model: one with a ``codec`` module, its parameters under "codec". Pictures are all of one size. rng: not used.
    """
    codec, weights = NetworkCodec(model.codec), params["codec"]
    codes = codec.encode(weights, np.stack([to_float(document[0].pixels) for document in documents]))
    pictures = to_uint8(codec.decode(weights, codes))
    return [Document([d[0], Image(pixels, target=True)], d.info) for d, pixels in zip(documents, pictures)]


def benchmarks(world: World, *, n: int, seed: int = 1) -> tuple[Benchmark, ...]:
    """How often scenes are still read right: of one to four objects, and of held-out combinations of one and two."""

    def copied(name: str, title: str, split: str, objects: int) -> Benchmark:
        source = Shapes(world=world, split=split, tasks={f"caption/{objects}": 1}, seed=seed)
        return Benchmark(name, title, Copies(Distinct(source, n)), GRADES["draw"](world), make=reconstruct)

    seen = [
        copied(f"copied_{count}", f"{title}, combinations trained on", "train", count)
        for count, title in enumerate(COUNTS, 1)
    ]
    new = [
        copied(f"copied_{count}_new", f"{title}, combinations never trained on", "held_out", count)
        for count, title in enumerate(COUNTS[:2], 1)
    ]
    return (*seen, *new)
