"""Heads: states at ``read`` -> predictions, always float32."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.sequence import Draft, Payload
from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.dense import Dense
from unified_jax.nn.embed import Tokens, sincos
from unified_jax.nn.mlp import Activation, gelu
from unified_jax.nn.norm import LayerNorm

BARE = partial(LayerNorm, 1e-6, use_scale=False, use_bias=False)


class Tied(nn.Module):
    """Logits by the embedder's own table."""

    tokens: Tokens

    def __call__(self, states: Float[Array, "B N D"], payload: Payload | None = None) -> Float[Array, "B N V"]:
        return self.tokens.attend(states)


class Linear(nn.Module):
    """One affine map to ``features``; ``zero`` starts it at zero, so that a flow begins at the mean."""

    features: int
    zero: bool = False
    use_bias: bool = True

    @nn.compact
    def __call__(self, states: Float[Array, "B N D"], payload: Payload | None = None) -> Float[Array, "B N P"]:
        init = nn.initializers.zeros if self.zero else None
        return Dense(self.features, use_bias=self.use_bias, kernel_init=init, name="out")(states.astype(jnp.float32))


class Hidden(nn.Module):
    """Two affine maps to ``features`` with an activation between: a head that says more than a product can."""

    features: int
    hidden: int
    activation: Activation = gelu
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, states: Float[Array, "B N D"], payload: Payload | None = None) -> Float[Array, "B N P"]:
        x = self.activation(Dense(self.hidden, use_bias=True, dtype=self.dtype, name="hidden")(states))
        return Dense(self.features, use_bias=True, name="out")(x.astype(jnp.float32))


class Capped(nn.Module):
    """Logits bent to stay within ``cap``: cap * tanh(logits / cap) (arXiv:2408.00118, section 2.3)."""

    head: nn.Module
    cap: float

    def __call__(self, states: Float[Array, "B N D"], payload: Payload | None = None) -> Float[Array, "B N V"]:
        return self.cap * jnp.tanh(self.head(states, payload) / self.cap)


class Part(nn.Module):
    """What ``head`` makes of some channels of the states, ``width`` of them from ``start`` on."""

    head: nn.Module
    start: int
    width: int

    def __call__(self, states: Float[Array, "B N D"], payload: Payload) -> Float[Array, "B N P"]:
        return self.head(states[..., self.start : self.start + self.width], payload)


class TokenFlow(nn.Module):
    """A small network that denoises every entry by itself, given the state it reads (MAR, arXiv:2406.11838, 3.2).

        c = silu(state + time)     x = in(draft)     x = x + gate(c) mlp(modulate(x, c))     out(modulate(x, c))

    The third step ``depth`` times. modulate is adaLN-Zero (DiT, arXiv:2212.09748, 3.2): normalised, scaled and shifted
    by c, from zero. Without a draft the entries' own values and time take its place.

    norm: of the third step, a partial. first: the time that is told as 0; 1 / levels where levels are counted from 0.
    """

    features: int
    width: int
    depth: int
    norm: Callable[..., nn.Module] = BARE
    first: float = 0.0

    def __call__(self, states: Float[Array, "B N D"], payload: Payload) -> Float[Array, "B N P"]:
        draft = Draft(payload.values, payload.time) if payload.draft is None else payload.draft
        return self.denoised(states, draft)

    @nn.compact
    def denoised(self, states: Float[Array, "B N D"], draft: Draft) -> Float[Array, "B N P"]:
        """What it makes of drafts, given the states."""
        dense = lambda name, width=self.width: Dense(width, use_bias=True, name=name)
        zero = lambda name, width: Dense(width, use_bias=True, kernel_init=nn.initializers.zeros, name=name)
        time = dense("time_out")(jax.nn.silu(dense("time_in")(sincos(draft.time - self.first, 256))))
        c = jax.nn.silu(dense("state")(states.astype(jnp.float32)) + time)
        x = dense("in")(draft.values)
        for i in range(self.depth):
            shift, scale, gate = jnp.split(zero(f"modulate_{i}", 3 * self.width)(c), 3, -1)
            y = jax.nn.silu(dense(f"up_{i}")(self.norm(name=f"norm_{i}")(x) * (1 + scale) + shift))
            x = x + gate * dense(f"down_{i}")(y)
        shift, scale = jnp.split(zero("modulate", 2 * self.width)(c), 2, -1)
        return zero("out", self.features)(BARE()(x) * (1 + scale) + shift)
