"""Benchmarks of image tokenizers: pictures that go through the codes and must still be read right."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from unified_jax.codecs.base import to_float, to_uint8
from unified_jax.core.types import AnyArray, Array, Float, PRNGKeyArray
from unified_jax.data.document import Document, Image, Part
from unified_jax.data.guard import Source
from unified_jax.data.sources.shapes import Shapes, World
from unified_jax.evals import fidelity
from unified_jax.evals.benchmark import Benchmark
from unified_jax.evals.distinct import Distinct
from unified_jax.evals.interval import mean
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


AT_ONCE = 64  # pictures in one call of the network


def reconstruct(model: Any, params: Any, documents: Sequence[Document], *, rng: PRNGKeyArray) -> list[Document]:
    """Fills the blank of every document with what the model's codec makes of the picture before it.

    model: one with a ``codec`` module, its parameters under "codec". Pictures are all of one size. rng: of latents that
    are drawn: what their distribution tells is the rate, and its mean would tell more.
    """
    made = []
    for start in range(0, len(documents), AT_ONCE):
        part = [to_float(document[0].pixels) for document in documents[start : start + AT_ONCE]]
        padded = np.stack(part + part[:1] * (AT_ONCE - len(part)))
        pixels = _through(model.codec, params["codec"], padded, jax.random.fold_in(rng, start))
        made += list(to_uint8(pixels)[: len(part)])
    return [Document([d[0], Image(pixels, target=True)], d.info) for d, pixels in zip(documents, made)]


@partial(jax.jit, static_argnums=0)
def _through(codec: nn.Module, params: Any, pixels: Float[AnyArray, "B H W 3"], rng: PRNGKeyArray) -> Array:
    return codec.apply({"params": params}, pixels, rngs={"sample": rng})[0]


def measures(world: World, *, n: int, seed: int = 1, perceptual: str = "") -> tuple[Benchmark, ...]:
    """PSNR and SSIM of scenes of four objects, and the distance of a packaged network where its name is given."""
    copies = Copies(Distinct(Shapes(world=world, tasks={"caption/4": 1}, seed=seed), n))
    compare = {"psnr": fidelity.psnr, "ssim": fidelity.ssim}
    compare |= {perceptual: fidelity.distance(perceptual)} if perceptual else {}
    title = "four objects, combinations trained on"
    return tuple(
        Benchmark(name, title, copies, measured(f), make=reconstruct, score=mean) for name, f in compare.items()
    )


def measured(compare: Callable[[np.ndarray, np.ndarray], float]) -> Callable[[Document, Part], float]:
    """A grade from a comparison of two pictures, uint8 [H W 3]."""
    return lambda truth, part: compare(truth.targets[0].pixels, part.pixels)


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
