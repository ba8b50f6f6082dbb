"""Borrowed: a stream whose ids are a stretch of another stream's vocabulary, through its table and its head."""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.embed import Tokens


class BorrowedTokens(nn.Module):
    """tokens: the table. first: its row of id 0. mask: its row of all ids below 0, in streams where such hide one."""

    tokens: Tokens
    first: int
    mask: int = 0

    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        rows = jnp.where(payload.values < 0, self.mask, payload.values + self.first)
        return self.tokens(payload.replace(values=rows), pos)


class BorrowedHead(nn.Module):
    """head: of the whole vocabulary. first, count: which of its ids may be predicted, half-open."""

    head: nn.Module
    first: int
    count: int

    def __call__(self, states: Float[Array, "B N D"], payload: Payload | None = None) -> Float[Array, "B N V"]:
        return self.head(states, payload)[..., self.first : self.first + self.count]
