"""Vision: whole pictures as an encoder and a connector show them to a language model, one state for each entry.

    payload [B N P], a row of pictures of as many entries each -> encoder -> connector -> [B N D]

The embedder of a stream of patches (LLaVA, arXiv:2304.08485, section 4.1). Pictures are all of one size, so that which
entries are a picture is known before anything runs; entries behind the last whole one are padding. A batch without
room for a picture, a chunk of text, say, runs no encoder.
"""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.pictures import of_patches
from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, DTypeLike, Float, Int
from unified_jax.nn.encoder import Encoder


class Vision(nn.Module):
    """encoder: of pictures. connector: of ``nn/connectors``, with a state for every entry. width: of its states.

    grid: (rows, columns) of every picture. layer: which of the encoder's states are read (``Encoder.features``), None
    for those behind its norm. leading: tokens before the patches, which are left out. entries: of a picture, which
    carry its patches in equal shares, zeros behind the last; None for an entry to each patch.
    """

    encoder: Encoder
    connector: nn.Module
    width: int
    grid: tuple[int, int]
    layer: int | None = None
    leading: int = 0
    entries: int | None = None
    dtype: DTypeLike = jnp.float32

    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        batch, room, _ = payload.values.shape
        places = self.grid[0] * self.grid[1]
        size = self.entries or places
        count = room // size
        if not count:
            return jnp.zeros((batch, room, self.width), self.dtype)
        pixels = payload.values[:, : count * size].reshape(batch * count, -1)
        patches = pixels[:, : places * 3 * self.encoder.embed.patch**2].reshape(batch * count, places, -1)
        states = self._shown(patches).reshape(batch, count * size, self.width)
        return jnp.pad(states, ((0, 0), (0, room - count * size), (0, 0)))

    def _shown(self, patches: Float[Array, "B T P"]) -> Float[Array, "B N D"]:
        """Of pictures of ``grid``."""
        return self.connector(self._states(patches), grid=self.grid)

    def _states(self, patches: Float[Array, "B T P"]) -> Float[Array, "B S D"]:
        pictures = of_patches(patches, self.grid)
        if self.layer is None:
            states = self.encoder(pictures).states
        else:
            if self.is_initializing():
                self.encoder(pictures)  # published files hold what lies behind the layer as well
            states = self.encoder.features(pictures, layer=self.layer)
        return states[:, self.leading :]
