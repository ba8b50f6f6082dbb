"""Scales: codes of a picture at growing resolutions -> what each scale is predicted from (VAR, arXiv:2404.02905, 3.2).

    state of an entry of scale k  =  row of its place  +  shrink_k( sum_(l < k) enlarge( embedding of the codes of l ) )

The first scale has its places alone. Enlarging is bicubic (a = -0.75), shrinking averages areas, as in the quantiser.
What a scale shows is fixed once the scale before it is known, and its slots never change afterwards.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, DTypeLike, Float, Int
from unified_jax.nn.resample import areas, cubic


class ScaleEmbed(nn.Module):
    """Entries of one stream that are whole pictures, one behind the other, each with the codes of all its scales.

    sides: of the square grids, growing. The codes themselves are never shown where they stand: an entry's state holds
    only earlier scales, so that it can predict its own.
    """

    vocab: int
    width: int
    sides: tuple[int, ...]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        batch, room = payload.values.shape
        n = sum(side**2 for side in self.sides)
        pictures = -(-room // n)
        ids = jnp.pad(payload.values, [(0, 0), (0, pictures * n - room)]).reshape(batch, pictures, n)
        table = self.param("table", nn.initializers.normal(1.0), (self.vocab, self.width), jnp.float32)
        place = self.param("place", nn.initializers.normal(1.0), (n, self.width), jnp.float32)
        x = place + jnp.einsum("mn,bpnd->bpmd", earlier(self.sides), table[ids])
        return x.reshape(batch, pictures * n, self.width)[:, :room].astype(self.dtype)


def earlier(sides: Sequence[int]) -> Float[Array, "n n"]:
    """How much of every code's embedding each entry is shown: nothing of its own scale and later ones."""
    last, ends = sides[-1], np.cumsum([side**2 for side in sides])
    weights = jnp.zeros((ends[-1], ends[-1]))
    for k, (side, end) in enumerate(zip(sides, ends)):
        shrink = areas(last, side)
        for smaller, until in zip(sides[:k], ends):
            both = shrink @ cubic(jnp.arange(last), jnp.full(last, last), source=smaller)
            rows, columns = slice(end - side**2, end), slice(until - smaller**2, until)
            weights = weights.at[rows, columns].set(jnp.kron(both, both))
    return weights
