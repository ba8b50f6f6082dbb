"""Projected: ids through a narrow table and a connector, the codes of a picture as a language model reads them
(Janus, arXiv:2410.13848, section 3.1).
"""

import flax.linen as nn

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, Float, Int
from unified_jax.nn.embed import Tokens


class Projected(nn.Module):
    """tokens: the table. connector: of ``nn/connectors``, with a state for every place."""

    tokens: Tokens
    connector: nn.Module

    def __call__(self, payload: Payload, pos: Int[Array, "B N A"]) -> Float[Array, "B N D"]:
        x = self.tokens(payload, pos)
        return self.connector(x, grid=(1, x.shape[1]))
