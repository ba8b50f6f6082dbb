"""RasterRope: rotation by row and column, read off the sequence index, of a picture written row by row behind a prefix
that is not rotated but silenced (LlamaGen, arXiv:2406.06525, section 2.3; ``autoregressive/models/gpt.py`` there).

    slot prefix + j     turns by (j // columns, j % columns)
    slot < prefix       cos = sin = 0: its query and its key are zero, so that it looks at all it may see alike, and
                        scores 0 for everybody
"""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.types import Array, Int
from unified_jax.nn.rope import Rope, Rotation


@dataclasses.dataclass(frozen=True)
class RasterRope:
    """rope: of positions (row, column). prefix: slots before the picture. columns: of the picture."""

    rope: Rope
    prefix: int
    columns: int

    def __call__(self, pos: Int[Array, "B T A"]) -> Rotation:
        place = pos[..., 0] - self.prefix
        row, column = jnp.divmod(jnp.maximum(place, 0), self.columns)
        rotation, drawn = self.rope(jnp.stack([row, column], -1)), (place >= 0)[..., None]
        return rotation.replace(cos=jnp.where(drawn, rotation.cos, 0.0), sin=jnp.where(drawn, rotation.sin, 0.0))
