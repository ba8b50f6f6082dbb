"""Attention inside windows of a picture: a patch sees those of its own picture in the same square of the grid
(Qwen2.5-VL, arXiv:2502.13923, section 2.1.1).

    visible(q, k) and row_q // side == row_k // side and column_q // side == column_k // side

A layer's window is here the side of its squares in places; one without a window sees the whole picture. The squares are
told apart as documents are, so that the one mask rule and every kernel of it serve them.
"""

from typing import Any

import jax.numpy as jnp

from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.attention import Attention


def in_windows(attention: Attention) -> Attention:
    """The same attention, each window by itself; for encoders, which have no cache."""

    def attend(
        q: Float[Array, "B T H C"],
        k: Float[Array, "B T K C"],
        v: Float[Array, "B T K C"],
        *,
        slots: Slots,
        window: Int[Array, ""] | int | None = None,
        **options: Any,
    ) -> Float[Array, "B T H C"]:
        return attention(q, k, v, slots=slots if window is None else windowed(slots, window), **options)

    return attend


def windowed(slots: Slots, side: Int[Array, ""] | int) -> Slots:
    """The slots with a document for each window of each of theirs."""
    square = slots.pos[..., 1:] // side
    count = square.max() + 1
    doc = (slots.doc * count + square[..., 0]) * count + square[..., 1]
    return slots.replace(doc=jnp.where(slots.doc > 0, doc, 0))
