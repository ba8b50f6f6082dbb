"""Rotary position embedding over one or several position axes.

Rotation by angle pos * theta**(-2i/C) of the pair (x_i, x_{i + C/2}) (arXiv:2104.09864, eq. 15, in the half-split
layout of the Llama checkpoints). With several axes, each pair of channels turns by the position of one axis
(M-RoPE, arXiv:2409.12191, section 2.1): ``sections`` says how many pairs each axis of ``pos`` gets.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from flax import struct

from unified_jax.core.types import Array, Float, Int, Leaf


@struct.dataclass
class Rotation:
    """cos and sin of every slot's angles, float32 [B T C/2]."""

    cos: Leaf
    sin: Leaf


@dataclasses.dataclass(frozen=True)
class Rope:
    """Positions -> rotation.

    sections: pairs of channels for each position axis, summing to head_dim / 2; None gives all to the sequence index.
    theta: base of the geometric series of frequencies.
    """

    head_dim: int
    theta: float = 10_000.0
    sections: tuple[int, ...] | None = None

    def __post_init__(self):
        if self.head_dim % 2:
            raise ValueError(f"RoPE turns pairs of channels: head_dim must be even, found {self.head_dim}")
        if self.sections is not None and sum(self.sections) != self.head_dim // 2:
            raise ValueError(f"rope sections {self.sections} must sum to head_dim / 2 = {self.head_dim // 2}")

    def __call__(self, pos: Int[Array, "B T A"]) -> Rotation:
        half = self.head_dim // 2
        sections = self.sections or (half,)
        axis = np.repeat(np.arange(len(sections)), sections)
        # Each axis gets the whole range of frequencies, so that rows and columns are told apart at every scale.
        rate = np.concatenate([self.theta ** (-np.arange(n) / n) for n in sections if n]).astype(np.float32)
        angle = pos.astype(jnp.float32)[..., axis] * rate
        return Rotation(jnp.cos(angle), jnp.sin(angle))


def rotate(x: Float[Array, "B T H C"], rotation: Rotation) -> Float[Array, "B T H C"]:
    """Turns every head of x by its slot's angles, in float32."""
    cos, sin = rotation.cos[:, :, None], rotation.sin[:, :, None]
    a, b = jnp.split(x.astype(jnp.float32), 2, -1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1).astype(x.dtype)
