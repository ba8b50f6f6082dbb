"""Embedders: one stream's payload -> states, [B N ...] -> [B N D]."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, DTypeLike, Float, Int
from unified_jax.nn.dense import Dense


def sincos(
    x: Float[Array, "..."], width: int, *, scale: float = 1000.0, period: float = 10_000.0, ends: int = 0
) -> Array:
    """Cosines and sines of scale * x at ``width / 2`` geometric frequencies, float32 [... width].

    They fall from 1 towards 1 / period; ends: 1 where the last is 1 / period itself, and 0 where it would be the next.
    """
    half = width // 2
    rate = period ** (-jnp.arange(half, dtype=jnp.float32) / (half - ends))
    angle = scale * x.astype(jnp.float32)[..., None] * rate
    return jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], -1)


class Tokens(nn.Module):
    """A table of ``vocab`` rows; ``attend`` reads it backwards, so that a tied head is the same parameters.

    multiplier: what looked-up rows are multiplied by; sqrt(width) gives states of unit size (arXiv:1706.03762, 3.4).
    """

    vocab: int
    width: int
    multiplier: float = 1.0
    dtype: DTypeLike = jnp.float32

    def setup(self):
        init = nn.initializers.normal(self.width**-0.5)
        self.table = self.param("table", init, (self.vocab, self.width), jnp.float32)

    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        return (self.multiplier * self.table[payload.values]).astype(self.dtype)

    def attend(self, states: Float[Array, "B N D"]) -> Float[Array, "B N V"]:
        """Logits in float32."""
        flat = states.reshape(-1, self.width).astype(jnp.float32) @ self.table.T
        return flat.reshape(*states.shape[:-1], self.vocab)


class Flat(nn.Module):
    """Patches by one affine map; nothing tells their places."""

    width: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        return Dense(self.width, use_bias=True, dtype=self.dtype, name="patch")(payload.values)


class Timed(nn.Module):
    """Patches by one affine map, with two affine maps of the time's sines and cosines added to them before it
    (Transfusion, arXiv:2408.11039, section 3, note 6).
    """

    width: int
    frequencies: int = 128
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        features = payload.values.shape[-1]
        t = Dense(features, use_bias=True, name="time_in")(sincos(payload.time, 2 * self.frequencies))
        t = Dense(features, use_bias=True, name="time_out")(jax.nn.silu(t))
        return Dense(self.width, use_bias=True, dtype=self.dtype, name="in")(payload.values + t)


class Placed(nn.Module):
    """Another embedder's states, plus cosines and sines of where the entries stand (DiT, arXiv:2212.09748, 3.2).

    axes: of positions, (0,) for words in a row and (1, 2) for patches; each has an equal share of the channels.
    """

    embed: nn.Module
    axes: tuple[int, ...]

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        x = self.embed(payload, pos)
        share = x.shape[-1] // len(self.axes)
        waves = [sincos(pos[..., axis].astype(jnp.float32), share, scale=1.0) for axis in self.axes]
        return x + jnp.concatenate(waves, -1).astype(x.dtype)


class Latents(nn.Module):
    """Patches or latents with a noise level: in(values) + position(row, column) + time.

    grid: (rows, columns) of the largest picture; a learned table over it tells the patches apart. frequencies, scale:
    of the time (``sincos``).
    """

    width: int
    grid: tuple[int, int]
    frequencies: int = 64
    scale: float = 1000.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        x = Dense(self.width, use_bias=True, dtype=self.dtype, name="in")(payload.values)
        # As large as a patch of unit noise, which would drown it otherwise.
        place = self.param("place", nn.initializers.normal(1.0), (*self.grid, self.width), jnp.float32)
        waves = sincos(payload.time, 2 * self.frequencies, scale=self.scale)
        t = Dense(self.width, use_bias=True, name="time_in")(waves)
        t = Dense(self.width, use_bias=True, name="time_out")(jax.nn.silu(t))
        return x + (place[pos[..., 1], pos[..., 2]] + t).astype(self.dtype)
