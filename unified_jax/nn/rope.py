"""Rotary position embedding: pair i of a head's channels turns by rate_i * pos[axis_i] (arXiv:2104.09864, eq. 15).

Pieces decide the rest: ``frequencies`` how fast pairs turn (others are in ``rope_scaling``), ``arrange`` which axis of
``pos`` turns which pair, ``pairing`` which two channels are a pair.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct

from unified_jax.core.types import Array, Float, Int, Leaf

Series = Callable[[int], np.ndarray]  # R channels -> radians per position of their R / 2 pairs


@dataclasses.dataclass(frozen=True)
class Pairing:
    """Which two channels turn together. split: [... R] -> ([... R/2], [... R/2]); join: the inverse."""

    split: Callable[[Array], tuple[Array, Array]]
    join: Callable[[Array, Array], Array]


# (x_i, x_{i + R/2}), and (x_{2i}, x_{2i+1}): published checkpoints use both, and their weights differ by a permutation.
HALVES = Pairing(lambda x: tuple(jnp.split(x, 2, -1)), lambda a, b: jnp.concatenate([a, b], -1))
NEIGHBOURS = Pairing(
    lambda x: (x[..., ::2], x[..., 1::2]), lambda a, b: jnp.stack([a, b], -1).reshape(*a.shape[:-1], -1)
)


@struct.dataclass
class Rotation:
    """cos and sin of every slot's angles, float32 [B T R/2]; the last ``still`` channels of a head do not turn."""

    cos: Leaf
    sin: Leaf
    still: int = struct.field(pytree_node=False, default=0)
    pairing: Pairing = struct.field(pytree_node=False, default=HALVES)


class Table(NamedTuple):
    """What turns a pair, [R/2] each. rate: radians per position, float64. axis: of the positions."""

    rate: np.ndarray
    axis: np.ndarray


def geometric(theta: float, dim: int) -> Float[np.ndarray, "pairs"]:
    """theta**(-2i/dim): from one radian per position down to nearly 1/theta."""
    return theta ** (-np.arange(0, dim, 2) / dim)


def separate(series: Series, sections: tuple[int, ...]) -> Table:
    """Each axis has a whole series of its own, so that axes are told apart at every scale (2-D and 3-D RoPE)."""
    rate = np.concatenate([series(2 * pairs) for pairs in sections if pairs])
    return Table(rate, np.repeat(np.arange(len(sections)), sections))


def contiguous(series: Series, sections: tuple[int, ...]) -> Table:
    """One series cut into consecutive parts: the first axis takes the fastest pairs (arXiv:2409.12191, section 2.1)."""
    return Table(series(2 * sum(sections)), np.repeat(np.arange(len(sections)), sections))


def interleaved(series: Series, sections: tuple[int, ...]) -> Table:
    """One series dealt to the axes in turn, which spreads each over all scales (arXiv:2511.21631, section 2).

    What remains when the other axes have their pairs is the first axis's. Raises ValueError for sections that cannot
    be dealt so.
    """
    axis = np.zeros(sum(sections), int)
    for i in range(1, len(sections)):
        axis[i : len(sections) * sections[i] : len(sections)] = i
    if tuple(np.bincount(axis, minlength=len(sections))) != tuple(sections):
        raise ValueError(f"rope sections {sections} cannot be interleaved: the first axis must have the most pairs")
    return Table(series(2 * len(axis)), axis)


@dataclasses.dataclass(frozen=True)
class Rope:
    """Positions -> rotation.

    theta: base of the series of frequencies.
    sections: pairs of channels for each position axis, summing to rotary_dim / 2; None gives all to the first axis,
      the sequence index.
    rotary_dim: how many channels turn, the first of each head; None turns all.
    frequencies: (theta, dim) -> radians per position [dim / 2].
    arrange: (series, sections) -> Table.
    attention_factor: multiplies cos and sin, so that logits of turned channels grow by its square.
    Raises ValueError for sizes that do not fit.
    """

    head_dim: int
    theta: float = 10_000.0
    sections: tuple[int, ...] | None = None
    rotary_dim: int | None = None
    frequencies: Callable[[float, int], np.ndarray] = geometric
    arrange: Callable[[Series, tuple[int, ...]], Table] = separate
    attention_factor: float = 1.0
    pairing: Pairing = HALVES

    def __post_init__(self):
        name = "head_dim" if self.rotary_dim is None else "rotary_dim"
        if self._turning % 2:
            raise ValueError(f"RoPE turns pairs of channels: {name} must be even, found {self._turning}")
        if not 0 < self._turning <= self.head_dim:
            raise ValueError(f"rotary_dim must be from 2 to head_dim {self.head_dim}, found {self._turning}")
        if self.sections is not None and sum(self.sections) != self._turning // 2:
            raise ValueError(f"rope sections {self.sections} must sum to {name} / 2 = {self._turning // 2}")

    @property
    def _turning(self) -> int:
        return self.head_dim if self.rotary_dim is None else self.rotary_dim

    def table(self) -> Table:
        """Rate and axis of every pair of channels."""
        series = lambda dim: self.frequencies(self.theta, dim)
        return self.arrange(series, self.sections or (self._turning // 2,))

    def __call__(self, pos: Int[Array, "B T A"]) -> Rotation:
        """Raises ValueError when a section belongs to an axis that ``pos`` does not have."""
        rate, axis = self.table()
        if axis.max() >= pos.shape[-1]:
            raise ValueError(
                f"rope sections {self.sections} need {axis.max() + 1} position axes, found {pos.shape[-1]}"
            )
        angle = _angles(pos[..., axis], rate)
        cos, sin = self.attention_factor * jnp.cos(angle), self.attention_factor * jnp.sin(angle)
        return Rotation(cos, sin, still=self.head_dim - self._turning, pairing=self.pairing)


@dataclasses.dataclass(frozen=True)
class NoRope:
    """Positions -> a rotation that turns nothing: for models that add positions to the states instead."""

    head_dim: int

    def __call__(self, pos: Int[Array, "B T A"]) -> Rotation:
        nothing = jnp.zeros((*pos.shape[:2], 0), jnp.float32)
        return Rotation(nothing, nothing, still=self.head_dim)


def _angles(pos: Int[Array, "B T pairs"], rate: Float[np.ndarray, "pairs"]) -> Float[Array, "B T pairs"]:
    """pos * rate modulo whole turns, in float32, within 1e-6 of exact at every int32 position.

    The plain float32 product is off by up to 6e-8 * pos, 0.006 at 100,000. Counted in 2**-32 turns it is a product of
    integers whose overflow drops whole turns only; what rounding took from the rate is small enough for float32.
    """
    counts = rate * (2.0**32 / math.tau)
    whole = np.rint(counts)
    turned = pos.astype(jnp.int32) * whole.astype(np.int64).astype(np.int32)
    rest = pos.astype(jnp.float32) * (counts - whole).astype(np.float32)
    return (turned.astype(jnp.float32) + rest) * np.float32(math.tau / 2.0**32)


def rotate(x: Float[Array, "B T H C"], rotation: Rotation) -> Float[Array, "B T H C"]:
    """Turns every head of x by its slot's angles, in float32. Raises ValueError for heads of another size."""
    cos, sin = rotation.cos[:, :, None], rotation.sin[:, :, None]
    if x.shape[-1] != 2 * cos.shape[-1] + rotation.still:
        raise ValueError(f"the rotation is for heads of {2 * cos.shape[-1] + rotation.still}, found {x.shape[-1]}")
    turning, still = jnp.split(x, [2 * cos.shape[-1]], -1)
    a, b = rotation.pairing.split(turning.astype(jnp.float32))
    turned = rotation.pairing.join(a * cos - b * sin, b * cos + a * sin)
    return jnp.concatenate([turned.astype(x.dtype), still], -1)
