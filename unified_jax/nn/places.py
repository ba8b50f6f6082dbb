"""Places: what is added to the patches of a picture so that they can be told apart.

place(row, column) = [sin c w, cos c w, sin r w, cos r w],     w from 1 down to nearly 1 / 10,000
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import Array, Float

Grid = tuple[int, int]  # rows, columns


def sincos_places(rows: Float[np.ndarray, "R"], columns: Float[np.ndarray, "C"], width: int) -> Float[Array, "R C D"]:
    """A vector for every pair of a row and a column, which need not be whole numbers (DiT, arXiv:2212.09748, 3.2)."""
    rate = 10_000.0 ** (-np.arange(width // 4) / (width // 4))
    waves = lambda x: np.concatenate([np.sin(x[:, None] * rate), np.cos(x[:, None] * rate)], -1).astype(np.float32)
    shape = (len(rows), len(columns), width // 2)
    # Broadcast by jax: a table of all places would be a large constant of the compiled program.
    both = [jnp.broadcast_to(waves(columns)[None], shape), jnp.broadcast_to(waves(rows)[:, None], shape)]
    return jnp.concatenate(both, -1)


class SincosPlaces(nn.Module):
    """Sines and cosines, squeezed so that a picture of any grid spans ``base`` / ``scale`` (PixArt, arXiv:2310.00426).

    base: rows, and columns, of the grid it was trained at. scale: of the places at that grid.
    """

    base: int
    scale: float = 1.0

    def __call__(self, grid: Grid, width: int) -> Float[Array, "R C D"]:
        rows, columns = (np.arange(n) / (n / self.base) / self.scale for n in grid)
        return sincos_places(rows, columns, width)


class CroppedPlaces(nn.Module):
    """The middle of a square table, of ``side`` rows and columns (SD3, arXiv:2403.03206, section 5.3.2).

    base: rows of the grid it was made for, from which a fresh table takes its scale. Published tables are not trained.
    """

    side: int
    base: int

    @nn.compact
    def __call__(self, grid: Grid, width: int) -> Float[Array, "R C D"]:
        """Raises ValueError for a grid larger than the table."""
        if max(grid) > self.side:
            raise ValueError(f"{grid[0]} x {grid[1]} patches: this denoiser has places for {self.side} x {self.side}")
        along = np.arange(self.side) / (self.side / self.base)
        fresh = lambda key, shape, dtype: sincos_places(along, along, width).astype(dtype)
        table = self.param("table", fresh, (self.side, self.side, width), jnp.float32)
        top, left = ((self.side - n) // 2 for n in grid)
        return table[top : top + grid[0], left : left + grid[1]]
