"""Scales: codes of the whole picture at growing resolutions (VAR, arXiv:2404.02905, algorithms 1 and 2).

    r_0 = z      code_k = nearest(shrink_k(r_k))      r_(k+1) = r_k - phi_k(enlarge_k(e_(code_k)))
    vector = sum_k phi_k(enlarge_k(e_(code_k)))       phi_k(h) = (1 - blend) h + blend conv(h)

One codebook for all scales. Shrinking averages areas, enlarging is bicubic (a = -0.75); neither happens at the last
scale, whose side is the grid's. Each entry is charged the mean over scales of the distance of z to the sum so far.
"""

import jax.numpy as jnp
import numpy as np

from unified_jax.codecs.quantisers.base import Quantised, Staged, Through, commit, straight_through
from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.conv import Conv
from unified_jax.nn.resample import areas, cubic


class Scales(Staged):
    """Codes [B N], N the sum of the squared sides, scale after scale, each in raster order.

    stage: the one quantiser of every scale. sides: of the square grids, growing.
    convs: how many convolutions phi has; a scale takes the one whose share of the scales it lies in.
    """

    shape = ()

    sides: tuple[int, ...]
    convs: int = 4
    blend: float = 0.5
    commitment: float = 0.25
    through: Through = straight_through

    def setup(self):
        self.codebook = self.stage()
        self.phi = [Conv(self.width) for _ in range(self.convs)]

    def __call__(self, latents: Float[Array, "B h w C"]) -> Quantised:
        """Raises ValueError for a grid that is not the last scale's."""
        if latents.shape[1:3] != (self.sides[-1],) * 2:
            raise ValueError(f"a grid of {self.sides[-1]} x {self.sides[-1]} is quantised here, found {latents.shape}")
        z = latents.astype(jnp.float32)
        total, penalty, codes = jnp.zeros_like(z), 0.0, []
        for scale, side in enumerate(self.sides):
            found = self.codebook(resize(z - total, areas(self.sides[-1], side))).codes
            total = total + self._detail(found, scale)
            penalty = penalty + commit(z, total, commitment=self.commitment) / len(self.sides)
            codes.append(found.reshape(len(z), -1))
        return Quantised(jnp.concatenate(codes, 1), self.through(z, total), penalty)

    def lookup(self, codes: Int[Array, "B N"]) -> Float[Array, "B h w C"]:
        """The sum of what all scales add."""
        return self.sums(codes)[-1]

    def sums(self, codes: Int[Array, "B N"]) -> Float[Array, "K B h w C"]:
        """The picture after each scale."""
        ends = np.cumsum(np.square(self.sides))
        parts = jnp.split(codes, ends[:-1], 1)
        grids = [part.reshape(len(codes), side, side) for part, side in zip(parts, self.sides)]
        return jnp.cumsum(jnp.stack([self._detail(grid, scale) for scale, grid in enumerate(grids)]), 0)

    def _detail(self, codes: Int[Array, "B r r"], scale: int) -> Float[Array, "B h w C"]:
        """What the codes of a scale add to the picture."""
        vectors = resize(self.codebook.lookup(codes), _bicubic(self.sides[scale], self.sides[-1]))
        return (1 - self.blend) * vectors + self.blend * self.phi[self._conv_of(scale)](vectors)

    def _conv_of(self, scale: int) -> int:
        edge = 1 / 3 if self.convs == 4 else 1 / 2  # as published
        ticks = np.linspace(edge / self.convs, 1 - edge / self.convs, self.convs)
        return int(np.argmin(np.abs(ticks - scale / max(len(self.sides) - 1, 1))))


def resize(x: Float[Array, "B h w C"], weights: Float[Array, "r h"]) -> Float[Array, "B r r C"]:
    """Rows and columns of square pictures, each mixed by the same weights."""
    return jnp.einsum("rh,sw,BhwC->BrsC", weights, weights, x)


def _bicubic(source: int, target: int) -> Float[Array, "r h"]:
    return cubic(jnp.arange(target), jnp.full(target, target), source=source)
