"""Perceiver resampler: learned latents that read a picture and themselves, layer after layer (Flamingo,
arXiv:2204.14198, 3.1.1; without its time embeddings, as in Idefics2, arXiv:2405.02246, 3.2).
"""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.connectors.grid import Grid

Piece = Callable[..., nn.Module]


class Layer(nn.Module):
    """z + attention(norm z, of [norm x; norm z]), then + mlp(norm z)."""

    attention: Piece
    mlp: Piece
    norm: Piece

    @nn.compact
    def __call__(self, z: Float[Array, "B N D"], x: Float[Array, "B T D"]) -> tuple[Float[Array, "B N D"], None]:
        y, x = self.norm(name="attention_norm")(z), self.norm(name="context_norm")(x)
        z = z + self.attention(name="attention")(y, jnp.concatenate([x, y], 1))
        return z + self.mlp(name="mlp")(self.norm(name="mlp_norm")(z)), None


class Perceiver(nn.Module):
    """[B T D] -> [B count D]: ``depth`` layers and a norm.

    attention: partial of ``CrossAttention``. before: a connector to the width of the latents.
    """

    count: int
    depth: int
    attention: Piece
    mlp: Piece
    norm: Piece
    before: nn.Module
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B T E"], *, grid: Grid) -> Float[Array, "B N D"]:
        x = self.before(x, grid=grid)
        latents = self.param("latents", nn.initializers.normal(1.0), (self.count, x.shape[-1]), jnp.float32)
        z = jnp.broadcast_to(latents.astype(self.dtype), (x.shape[0], *latents.shape))
        scan = nn.scan(
            Layer, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=nn.broadcast, length=self.depth
        )
        z, _ = scan(self.attention, self.mlp, self.norm, name="layer")(z, x)
        return self.norm(name="norm")(z)
