"""The two ladders of the codecs that are trained here, of plain values: patches in, features; features in, patches."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol, runtime_checkable

from unified_jax.codecs.ladder import Decoder, Encoder
from unified_jax.core.types import DTypeLike
from unified_jax.nn.conv import Attention, GroupNorm
from unified_jax.nn.norm import RMSNorm


@runtime_checkable
class Sizes(Protocol):
    """The fields of a codec; ``VectorQuantised`` says what each of them means."""

    patch: int
    width: int
    multipliers: Sequence[int]
    depth: int
    groups: int | None
    attention: int
    dtype: DTypeLike


def patch_ladders(sizes: Sizes) -> tuple[Encoder, Decoder]:
    """Down and up again, alike."""
    norm = RMSNorm if sizes.groups is None else partial(GroupNorm, sizes.groups)
    shared = dict(widths=tuple(sizes.width * m for m in sizes.multipliers), depth=sizes.depth, norm=norm)
    shared |= dict(middle=(Attention,) * sizes.attention, dtype=sizes.dtype)
    return Encoder(**shared), Decoder(out=3 * sizes.patch**2, **shared)
