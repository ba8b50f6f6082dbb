"""Scale sums: what VAR shows of a picture as it was released (arXiv:2404.02905, section 3.2, figure 4).

    state of scale 0      =  class + start                                     + level_0 + place
    state of scale k > 0  =  word( shrink_k( sum of what scales < k add ) )    + level_k + place

The sums are those of the tokenizer's own quantiser (``codecs/quantisers/scales.py``); shrinking averages areas.
``ScaleEmbed`` has a table of its own instead.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, DTypeLike, Float, Int
from unified_jax.nn.dense import Dense
from unified_jax.nn.resample import areas


class ScaleSums(nn.Module):
    """Entries of one stream that are whole pictures, one behind the other: the codes of all scales, told the class.

    codec: whose ``quantiser.sums`` maps codes to the picture after each scale. sides: of the square grids, growing.
    """

    codec: nn.Module
    classes: nn.Module
    width: int
    sides: tuple[int, ...]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        table = lambda name, *shape: self.param(name, nn.initializers.normal(0.02), (*shape, self.width), jnp.float32)
        counts, last = np.square(self.sides), self.sides[-1]
        (batch, room), n = payload.values.shape, int(counts.sum())
        pictures = lambda x: jnp.pad(x, [(0, 0), (0, -room % n)]).reshape(-1, n)
        codes, told = pictures(payload.values), pictures(payload.told)[:, :1]
        shown = [self._shrunk(total, areas(last, side)) for total, side in zip(self._sums(codes), self.sides[1:])]
        words = Dense(self.width, use_bias=True, name="word")(jnp.concatenate(shown, 1))
        first = self.classes(payload.replace(told=told)) + table("start")
        level = jnp.repeat(table("level", len(counts)), counts, axis=0, total_repeat_length=n)
        x = jnp.concatenate([first, words], 1) + level + table("place", n)
        return x.reshape(batch, -1, self.width)[:, :room].astype(self.dtype)

    def _sums(self, codes: Int[Array, "B N"]) -> Float[Array, "K B h w C"]:
        return self.codec.quantiser.sums(codes)

    def _shrunk(self, total: Float[Array, "B h w C"], weights: Float[Array, "r h"]) -> Float[Array, "B n C"]:
        return jnp.einsum("rh,sw,BhwC->BrsC", weights, weights, total).reshape(len(total), -1, total.shape[-1])
