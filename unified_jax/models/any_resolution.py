"""Any resolution: which patches of a picture's tiles stand where in the text (LLaVA-NeXT; arXiv:2408.03326, 3.2).

all patches of the picture small; then, row by row, those of its tiles together without their border, a newline
behind each row; where they are more than a number of tiles has, as many as that has, each between four of them
"""

import dataclasses
import math

import numpy as np

from unified_jax.data.picture_size import best_resolution
from unified_jax.models.published import Config
from unified_jax.nn.tiled import Places, joined


@dataclasses.dataclass(frozen=True)
class AnyRes:
    """Where in tiles a picture's entries lie.

    grid: (rows, columns) of a tile's patches. side: of a tile in pixels. resolutions: as of ``picture_steps.Tiles``.
    most: tiles whose patches are shown one by one. share: patches that an entry carries.
    """

    grid: tuple[int, int]
    side: int
    resolutions: tuple[tuple[int, int], ...]
    most: int
    share: int = 1

    @classmethod
    def of(cls, config: Config, grid: tuple[int, int]) -> "AnyRes":
        """An entry's share is what pictures up to 100 times as long as wide need."""
        resolutions = tuple(map(tuple, config["image_grid_pinpoints"]))
        most = int(config["vision_aspect_ratio"].removeprefix("anyres_max_"))
        made = cls(grid, config["vision_config"]["image_size"], resolutions, most)
        long, size = max(map(max, resolutions)), math.prod(grid)
        shapes = [(long, max(1, round(long * thin))) for thin in np.geomspace(0.01, 1, 60)]
        need = [size * made.tiles(*x) / len(made.places(*x).newline) for each in shapes for x in (each, each[::-1])]
        return dataclasses.replace(made, share=math.ceil(max(need)))

    def tiles(self, height: int, width: int) -> int:
        """Of a picture that is alone, the small one too."""
        return 1 + math.prod(best_resolution(height, width, resolutions=self.resolutions)) // self.side**2

    def small(self) -> Places:
        """Every patch of the first tile."""
        size = math.prod(self.grid)
        none = np.zeros((size, 3))
        return Places(np.c_[np.arange(size), none], np.c_[np.ones(size), none], np.zeros(size))

    def places(self, height: int, width: int) -> Places:
        """Of a picture that is alone, and was of this size."""
        best = best_resolution(height, width, resolutions=self.resolutions)
        shape = tall, wide = tuple(n // self.side * along for n, along in zip(best, self.grid))
        if width / height > wide / tall:
            border = (tall - int(round(height * (wide / width), 7))) // 2, 0
        else:
            border = 0, (wide - int(round(width * (tall / height), 7))) // 2
        kept = [n - 2 * b for n, b in zip(shape, border)]
        ratio = math.sqrt(math.prod(kept) / (self.most * self.grid[0] ** 2))
        count = [int(n // ratio) for n in kept] if ratio > 1.1 else kept
        return joined([self.small(), self._large(wide // self.grid[1], *map(_between, border, kept, count))])

    def _large(self, across: int, rows: "Between", columns: "Between") -> Places:
        """``across``: tiles side by side."""
        patch, weight = [], []
        for y, v in ((rows.low, 1 - rows.part), (rows.high, rows.part)):
            for x, u in ((columns.low, 1 - columns.part), (columns.high, columns.part)):
                (down, row), (right, column) = np.divmod(y, self.grid[0]), np.divmod(x, self.grid[1])
                tile = 1 + down[:, None] * across + right
                patch.append(tile * math.prod(self.grid) + row[:, None] * self.grid[1] + column)
                weight.append(v[:, None] * u)
        behind = lambda x, value: np.pad(x, ((0, 0), (0, 1), *[(0, 0)] * (x.ndim - 2)), constant_values=value)
        patch, weight = (behind(np.stack(x, -1), 0).reshape(-1, 4) for x in (patch, weight))
        return Places(patch, weight, behind(np.zeros((len(rows.low), len(columns.low))), 1).reshape(-1))


@dataclasses.dataclass(frozen=True)
class Between:
    """Places along a side: ``part`` of the way from ``low`` to ``high``."""

    low: np.ndarray
    high: np.ndarray
    part: np.ndarray


def _between(first: int, kept: int, count: int) -> Between:
    """The middles of ``count`` equal parts of the ``kept`` patches from ``first`` on."""
    at = np.maximum((np.arange(count) + 0.5) * kept / count - 0.5, 0)
    low = np.floor(at).astype(int)
    return Between(first + low, first + np.minimum(low + 1, kept - 1), at - low)
