"""The codec that is trained here: patches, a ladder down, a quantiser, and the ladder up (VQGAN, arXiv:2012.09841).

    q = quantise(to_code(encode(patches of x)))      x' = decode(q.vectors)

Which quantiser stands between the ladders is a value of the config.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax.core import FrozenDict

from unified_jax.codecs.discrete import Discrete
from unified_jax.codecs.patch import Patches
from unified_jax.codecs.patch_ladders import patch_ladders
from unified_jax.codecs.quantisers.table import find_quantiser
from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.dense import Dense

NEAREST = FrozenDict(kind="nearest", size=512, width=8, entropy=0.001)


class VectorQuantised(Discrete):
    """Encoder, quantiser and decoder, of plain values.

    patch: side of the squares that enter as one place of the first grid; 1 is VQGAN, where every pixel does. More is
      far cheaper at the same downsampling, since the widest grids cost most: a space-to-depth move, exact both ways.
    width, multipliers, depth: of both ladders; each level's width is its multiplier times ``width``.
    code: the quantiser, see ``quantisers/table.py``.
    groups: of GroupNorm, which must divide every width; None normalises each place by itself (RMSNorm). attention:
      how many layers at the coarsest grid. Both are off by default, and differ from VQGAN in that: they tell every
      place of the whole picture, so that even an empty one gets codes that differ with its neighbours.
    """

    patch: int = 2
    width: int = 32
    multipliers: Sequence[int] = (1, 2)
    depth: int = 1
    code: Mapping[str, Any] = NEAREST
    groups: int | None = None
    attention: int = 0
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        # A config read from JSON has lists and dicts, which cannot be hashed.
        self.multipliers, self.code = tuple(self.multipliers), _hashable(self.code)
        super().__post_init__()

    def setup(self):
        self.encoder, self.decoder = patch_ladders(self)
        self.quantiser = find_quantiser(self.code)
        self.to_code = Dense(self.quantiser.width, use_bias=True, dtype=self.dtype)

    @property
    def factor(self) -> int:
        return self.patch * 2 ** (len(self.multipliers) - 1)

    @property
    def codes(self) -> int:
        return find_quantiser(self.code).size

    @property
    def shape(self) -> tuple[int, ...]:
        return find_quantiser(self.code).shape

    def latents(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w C"]:
        return self.to_code(self.encoder(Patches(self.patch).encode({}, pixels)))

    def draw(self, vectors: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        return Patches(self.patch).decode({}, self.decoder(vectors).astype(jnp.float32))


def _hashable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return FrozenDict({key: _hashable(x) for key, x in value.items()})
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value
