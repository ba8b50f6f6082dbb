"""Codes: ids of a picture's places -> states; the same id differs from place to place."""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, DTypeLike, Float, Int
from unified_jax.nn.embed import Tokens


class Codes(nn.Module):
    """A row of a table for each id, plus one for each place of the picture; both of unit size.

    grid: (rows, columns) of the largest picture. Masks are all one id, so it is their places that tell them apart.
    """

    vocab: int
    width: int
    grid: tuple[int, int]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        x = Tokens(self.vocab, self.width, multiplier=self.width**0.5, dtype=self.dtype, name="ids")(payload, pos)
        place = self.param("place", nn.initializers.normal(1.0), (*self.grid, self.width), jnp.float32)
        return x + place[pos[..., 1], pos[..., 2]].astype(self.dtype)
