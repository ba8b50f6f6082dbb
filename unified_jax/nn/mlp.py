"""Feed-forward pieces: [... D] -> [... D]."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.dense import Dense


class GatedMlp(nn.Module):
    """down(silu(gate(x)) * up(x)): SwiGLU (arXiv:2002.05202, eq. 6)."""

    hidden: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        gate = Dense(self.hidden, dtype=self.dtype, name="gate")(x)
        up = Dense(self.hidden, dtype=self.dtype, name="up")(x)
        return Dense(x.shape[-1], dtype=self.dtype, name="down")(jax.nn.silu(gate) * up)
