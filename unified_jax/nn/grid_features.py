"""GridFeatures: what an encoder of pictures sees at every place of a grid, of pictures resized to fit."""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.types import Array, Float
from unified_jax.nn.encoder import Encoder
from unified_jax.nn.resample import Weights, cubic


class GridFeatures(nn.Module):
    """encoder: of pictures (``models/encoders``). grid: (rows, columns) of its patches.

    layer: whose states, as in ``Encoder.features``; None for those of the last layer, normalised. weights: of resizing.
    """

    encoder: Encoder
    grid: tuple[int, int]
    layer: int | None = None
    weights: Weights = cubic

    def __call__(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B h w D"]:
        """Pixels as the encoder wants them, of any size."""
        embed = self.encoder.embed
        x = resize(pixels, tuple(side * embed.patch for side in self.grid), weights=self.weights)
        whole = self.layer is None or self.is_initializing()  # only a whole call makes parameters
        states = self.encoder(x).states if whole else self.encoder.features(x, layer=self.layer)
        places = states[:, embed.class_tokens + embed.registers :]
        return places.reshape(len(pixels), *self.grid, -1).astype(jnp.float32)


def resize(x: Float[Array, "B H W C"], size: tuple[int, int], *, weights: Weights) -> Float[Array, "B h w C"]:
    """Pictures of another size; x itself where it has that size."""
    if x.shape[1:3] == size:
        return x
    along = lambda source, target: weights(jnp.arange(target), jnp.full(target, target), source=source)
    rows, columns = (along(source, target) for source, target in zip(x.shape[1:3], size))
    return jnp.einsum("rh,cw,bhwd->brcd", rows, columns, x)
