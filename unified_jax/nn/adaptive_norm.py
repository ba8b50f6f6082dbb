"""Adaptive norms: scale, shift and a gate that come from a condition (DiT, arXiv:2212.09748, section 3.2).

    y = norm(x) * (1 + scale) + shift,     x + gate * f(y)

Plain norms map x to y. These map x and a condition to ``Normed``, and whoever adds f(y) to x multiplies it by the gate.
All of it is float32, as in every norm.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, Float
from unified_jax.nn.dense import Dense
from unified_jax.nn.norm import LayerNorm

BARE = partial(LayerNorm, 1e-6, use_scale=False, use_bias=False)  # scale and shift come from outside


class Normed(NamedTuple):
    """states: float [B T D]. gate: of what is added for them, float [B U D], U being 1 or T; None for no gate."""

    states: Array
    gate: Array | None


class AdaNorm(nn.Module):
    """Scale, shift and gate are affine in silu(condition), and zero at first: adaLN, with a gate adaLN-Zero.

    norm: partial of the plain norm. parts: which of "shift", "scale" and "gate" there are, in the kernel's order.
    squash: what is applied to the gate, None for nothing.
    """

    norm: Callable[..., nn.Module] = BARE
    parts: tuple[str, ...] = ("shift", "scale", "gate")
    squash: Callable[[Array], Array] | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], condition: Float[Array, "B U E"]) -> Normed:
        zeros, features = nn.initializers.zeros, (len(self.parts), x.shape[-1])
        modulation = Dense(features, use_bias=True, kernel_init=zeros, name="modulation")
        values = modulation(jax.nn.silu(condition.astype(jnp.float32)))
        normed = modulate(self.norm(name="norm"), x, **_by_name(self.parts, values))
        return normed if self.squash is None else normed._replace(gate=self.squash(normed.gate))


class SomeNorm(nn.Module):
    """``AdaNorm`` of the slots that are told something, and the plain norm with a gate of 1 of those that are not.

    norm: partial of the plain norm. The last channel of the condition is 1 where a slot is told, and else 0.
    """

    norm: Callable[..., nn.Module] = BARE

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], condition: Float[Array, "B T E"]) -> Normed:
        condition = condition.astype(jnp.float32)
        modulation = Dense((3, x.shape[-1]), use_bias=True, kernel_init=nn.initializers.zeros, name="modulation")
        values = modulation(jax.nn.silu(condition[..., :-1]))
        plain = jnp.array([0.0, 0.0, 1.0])[:, None]
        values = jnp.where(condition[..., -1:, None] > 0, values, plain)
        return modulate(self.norm(name="norm"), x, **_by_name(("shift", "scale", "gate"), values))


class TableNorm(nn.Module):
    """Scale, shift and gate are a table of its own, plus what the condition tells all norms alike: adaLN-single
    (PixArt-alpha, arXiv:2310.00426, section 2.3).

    condition: [B U D], the same for every part, or [B U (parts D)]. norm, parts: as in ``AdaNorm``.
    """

    norm: Callable[..., nn.Module] = BARE
    parts: tuple[str, ...] = ("shift", "scale", "gate")

    @nn.compact
    def __call__(self, x: Float[Array, "B T D"], condition: Float[Array, "B U E"]) -> Normed:
        width = x.shape[-1]
        init = nn.initializers.normal(width**-0.5)
        table = self.param("table", init, (len(self.parts), width), jnp.float32)
        values = table + condition.astype(jnp.float32).reshape(*condition.shape[:2], -1, width)
        return modulate(self.norm(name="norm"), x, **_by_name(self.parts, values))


class SharedModulation(nn.Module):
    """What every layer's ``TableNorm`` is told: affine in silu(condition), one part for each place of a block."""

    parts: int = 3

    @nn.compact
    def __call__(self, condition: Float[Array, "B U E"], places: tuple[str, ...]) -> dict[str, Float[Array, "B U F"]]:
        features = (len(places), self.parts * condition.shape[-1])
        dense = Dense(features, use_bias=True, name="modulation")
        values = dense(jax.nn.silu(condition.astype(jnp.float32)))
        return {place: values[..., i, :] for i, place in enumerate(places)}


def modulate(
    norm: Callable[[Array], Array],
    x: Float[Array, "B T D"],
    *,
    scale: Float[Array, "B U D"],
    shift: Float[Array, "B U D"] | None = None,
    gate: Float[Array, "B U D"] | None = None,
) -> Normed:
    """norm(x) * (1 + scale) + shift in float32, returned in the type of x, as is the gate."""
    y = norm(x.astype(jnp.float32)) * (1 + scale)
    y = y if shift is None else y + shift
    return Normed(y.astype(x.dtype), None if gate is None else gate.astype(x.dtype))


def _by_name(parts: tuple[str, ...], values: Float[Array, "B U P D"]) -> dict[str, Float[Array, "B U D"]]:
    return {name: values[..., i, :] for i, name in enumerate(parts)}
