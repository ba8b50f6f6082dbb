"""PlacedStack: a Stack whose states carry their places when they enter, for models that turn nothing by position.

x + place(first + sequence index)
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Slots, split
from unified_jax.nn.attention import KeysValues
from unified_jax.nn.block import States
from unified_jax.nn.stack import Stack


class PlacedStack(Stack):
    """rows: of the learned table of places. first: the one of sequence index 0; indices beyond the table have its last.

    Words and pictures alike get their places, so they are the stack's and no embedder's.
    """

    rows: int = 0
    first: int = 0

    @nn.compact
    def __call__(self, xs: States, *, slots: Slots, **options: Any) -> tuple[States, KeysValues]:
        """As ``Stack``."""
        width = next(iter(xs.values())).shape[-1]
        table = self.param("place", nn.initializers.normal(width**-0.5), (self.rows, width), jnp.float32)
        index = jnp.minimum(self.first + slots.pos[..., 0], self.rows - 1)
        places = split(table[index], {lane: x.shape[1] for lane, x in xs.items()})
        xs = {lane: x + places[lane].astype(x.dtype) for lane, x in xs.items()}
        return super().__call__(xs, slots=slots, **options)
