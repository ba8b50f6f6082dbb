"""PatchDecoder: features of a grid -> pixels of its patches, by a transformer (ViT-MAE, arXiv:2111.06377, section 3).

[token, x_1 W + place_1, x_2 W + place_2, ...]  ->  stack  ->  norm  ->  patches, the token left out

place(row, column) = [sin c w, cos c w, sin r w, cos r w],     w from 1 down to nearly 1 / 10,000
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from unified_jax.core.sequence import one_block
from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.dense import Dense
from unified_jax.nn.stack import Stack

SPAN = 16  # places along a side, whatever the grid: a finer one has them closer together


class PatchDecoder(nn.Module):
    """width: of the stack, divisible by 4. out: values of a patch. norm: of the last states."""

    width: int
    out: int
    stack: Stack
    norm: nn.Module
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w P"]:
        batch, rows, columns, _ = x.shape
        x = Dense(self.width, use_bias=True, dtype=self.dtype, name="embed")(x) + _places(rows, columns, self.width)
        token = self.param("token", nn.initializers.normal(0.02), (self.width,), jnp.float32).astype(self.dtype)
        token = jnp.broadcast_to(token, (batch, 1, self.width))
        x = jnp.concatenate([token, x.astype(self.dtype).reshape(batch, rows * columns, self.width)], 1)
        states, _ = self.stack({"main": x}, slots=one_block(batch, x.shape[1]))
        patches = Dense(self.out, use_bias=True, dtype=self.dtype, name="out")(self.norm(states["main"])[:, 1:])
        return patches.reshape(batch, rows, columns, self.out).astype(jnp.float32)


def _places(rows: int, columns: int, width: int) -> Float[np.ndarray, "h w D"]:
    rate = 10_000.0 ** (-np.arange(width // 4) / (width // 4))
    angles = lambda count: (np.arange(count) * SPAN / count)[:, None] * rate
    waves = lambda count: np.concatenate([np.sin(angles(count)), np.cos(angles(count))], -1)
    shape = (rows, columns, width // 2)
    both = [np.broadcast_to(waves(columns)[None], shape), np.broadcast_to(waves(rows)[:, None], shape)]
    return np.concatenate(both, -1).astype(np.float32)
