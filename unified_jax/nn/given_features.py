"""GivenFeatures: what another network read, through a connector; where nothing was given, a learned vector for each
place instead (the null caption of LlamaGen, arXiv:2406.06525, section 2.3).

    payload [B N F + 1]: F features, and 1 where they are given or 0 where they are not
"""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, Float, Int


class GivenFeatures(nn.Module):
    """connector: of ``nn/connectors``, with a state for every place. places: most of one document, from its start."""

    connector: nn.Module
    places: int

    @nn.compact
    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        features, given = payload.values[..., :-1], payload.values[..., -1:] > 0
        width = features.shape[-1]
        null = self.param("null", nn.initializers.normal(width**-0.5), (self.places, width), jnp.float32)
        x = jnp.where(given, features, null[jnp.minimum(pos[..., 0], self.places - 1)])
        return self.connector(x, grid=(1, x.shape[1]))
