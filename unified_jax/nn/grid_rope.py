"""GridRope: rotary positions of text and pictures in one sequence (M-RoPE, arXiv:2409.12191, section 2.1).

    word i                              turns by (i, i, i)
    place (r, c) of a picture at i      turns by (i, i + r, i + c)

All of a picture stands at one sequence index, and what follows it goes on behind its longer side (``Span.extent``).
"""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.types import Array, Int
from unified_jax.nn.rope import Rope, Rotation


@dataclasses.dataclass(frozen=True)
class GridRope:
    """rope: of three axes (sequence, row, column)."""

    rope: Rope

    def __call__(self, pos: Int[Array, "B T A"]) -> Rotation:
        index = pos[..., :1]
        return self.rope(jnp.concatenate([index, index + pos[..., 1:]], -1))
