"""TextEmbed: ids -> what an encoder's stack reads."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Slots
from unified_jax.core.types import AnyArray, Array, Bool, DTypeLike, Float, Int
from unified_jax.nn.encoder import Embedded

Ids = Int[Array, "B T"]


def everything(ids: Ids) -> Ids:
    """Attention blocks under which every slot sees every other."""
    return jnp.zeros_like(ids)


def causal(ids: Ids) -> Ids:
    """Attention blocks under which a slot sees itself and those before it."""
    return jnp.broadcast_to(jnp.arange(ids.shape[1], dtype=ids.dtype), ids.shape)


def first(ids: Ids) -> Int[Array, "B"]:
    """The first slot, which stands for the text where no other does."""
    return jnp.zeros(ids.shape[0], jnp.int32)


class TextEmbed(nn.Module):
    """One text to a row.

    blocks: ids -> attention blocks (``core.mask``). end: ids -> the slot that stands for the text [B].
    positions: rows of a learned table that is added, 0 for none.
    """

    vocab: int
    width: int
    blocks: Callable[[Array], Array]
    end: Callable[[Array], Array]
    positions: int = 0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, ids: Int[AnyArray, "B T"], mask: Bool[AnyArray, "B T"] | None = None) -> Embedded:
        """mask: False where a slot is empty. Raises ValueError for more ids than positions."""
        ids, length = jnp.asarray(ids), ids.shape[1]
        table = self.param("table", nn.initializers.normal(self.width**-0.5), (self.vocab, self.width), jnp.float32)
        x = table[ids]
        if self.positions:
            x = x + self._places(length)
        index = jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), ids.shape)
        doc = jnp.ones_like(index) if mask is None else jnp.asarray(mask, jnp.int32)
        slots = Slots(doc, self.blocks(ids), jnp.zeros(ids.shape, bool), index[..., None])
        return Embedded(x.astype(self.dtype), slots, self.end(ids)[:, None])

    def _places(self, length: int) -> Float[Array, "T D"]:
        if length > self.positions:
            raise ValueError(f"a text of {length} ids is longer than the {self.positions} positions of this encoder")
        init = nn.initializers.normal(self.width**-0.5)
        return self.param("place", init, (self.positions, self.width), jnp.float32)[:length]
