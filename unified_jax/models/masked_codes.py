"""Masked codes: what systems share that draw all codes of a picture at once, among their words, and read them too.

magvitv2/config.json, magvitv2/pytorch_model.bin     in the folder: the codec, MAGVIT-v2 (Show-o, MMaDA)
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np

from unified_jax.codecs.network import NetworkCodec
from unified_jax.core.types import Int
from unified_jax.data.document import Document, Image
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import under
from unified_jax.interop.rules import Rule
from unified_jax.models.family import Family
from unified_jax.models.pictured import on_grid
from unified_jax.models.published import Beside, Component, Config, Published
from unified_jax.models.reader import Reader, square
from unified_jax.models.tables import kind_of
from unified_jax.sampling.confidence import Confident, compounded
from unified_jax.sampling.fill import Fill, Refine


def drawn(mask: int) -> Refine:
    """How pictures are uncovered; mask: the number in a code's place that hides it."""
    return Refine("image", Confident(mask, noise=1.0, fade=compounded, least=1))


def family_of_codes(
    config: Config,
    beside: Beside,
    *,
    vq: Component,
    stem: str,
    rules: Iterable[Rule],
    fills: Mapping[str, Fill],
    write: Callable[[tuple[int, int]], Callable[[Document], list[Span]]],
    null: Callable[[Document], Document],
    given: Sequence[str] = (),
) -> Family:
    """Of a system that reads and draws square pictures of MAGVIT-v2's codes among its words.

    rules: of all but the codes, which lie in the file ``stem``. write: the pictures' grid -> how documents are written.
    given: streams that nothing is made of.
    """
    side = math.isqrt(config["num_vq_tokens"])
    codec, pixels, second = NetworkCodec(vq.module), side * vq.module.factor, "magvitv2/pytorch_model"
    streams = (*given, *fills)
    return Family(
        name=kind_of(config),
        arguments={},
        tokenizer=beside.tokenizer,
        codec=codec,
        streams=dict.fromkeys(streams, Stream("main")),
        smallest=Layout({"main": len(streams)}, dict.fromkeys(streams, 1)),
        image_size=(pixels, pixels),
        write=write((side, side)),
        null=null,
        fills=fills,
        values_of=partial(on_grid, grid=(side, side)),
        published=Published(
            dict(config),
            (*rules, *under(f"{second}.", vq.published.rules, path="codec/")),
            stems=(stem, second),
            files=beside.files,
            constants={f"{second}.{name}": x for name, x in vq.published.constants.items()},
        ),
        reader=Reader(square(pixels), codec),
    )


def codes(image: Image, *, grid: tuple[int, int]) -> Int[np.ndarray, "N"]:
    """A picture's codes in reading order; placeholders of a blank one. Raises ValueError for another grid."""
    values = np.zeros(grid, np.int32) if image.values is None else image.values
    if values.shape != grid:
        raise ValueError(f"pictures are {grid[0]} x {grid[1]} codes here, found {values.shape}")
    return values.reshape(-1)
