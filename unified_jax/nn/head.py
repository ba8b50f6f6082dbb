"""Heads: states at ``read`` -> predictions, always float32."""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.dense import Dense
from unified_jax.nn.embed import Tokens
from unified_jax.nn.mlp import Activation, gelu


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
