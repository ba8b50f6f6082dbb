"""FrameEmbed: patches of a still picture as a network of videos embeds them, which sees it in equal frames (Qwen2-VL,
arXiv:2409.12191, section 2.1).

    state of a patch = sum over frames f: patch W_f

No learned places: rows and columns turn queries and keys (``Rope`` of the last two axes of ``Slots.pos``).
"""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.pictures import Pictures, patchify
from unified_jax.core.types import AnyArray, DTypeLike, Float
from unified_jax.nn.dense import Dense
from unified_jax.nn.encoder import Embedded
from unified_jax.nn.picture_embed import slots_of


class FrameEmbed(nn.Module):
    """patch: side in pixels. frames: that a patch of a video spans."""

    width: int
    patch: int
    frames: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, pictures: Pictures | Float[AnyArray, "B H W 3"]) -> Embedded:
        """pictures: packed, or pixels of one to a row. Raises ValueError as ``patchify``."""
        if not isinstance(pictures, Pictures):
            pictures = patchify(pictures, self.patch)
        batch, length = pictures.doc.shape
        still = jnp.asarray(pictures.patches).reshape(batch, length, 1, self.patch, self.patch, 3)
        x = Dense(self.width, axes=4, dtype=self.dtype, name="patch")(jnp.repeat(still, self.frames, 2))
        return Embedded(x, slots_of(pictures, 0), jnp.zeros((batch, pictures.count), jnp.int32))
