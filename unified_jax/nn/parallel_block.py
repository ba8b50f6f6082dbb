"""ParallelBlock: attention and feed-forward side by side, of the same states."""

import flax.linen as nn

from unified_jax.core.types import Array, Int
from unified_jax.nn.attention import KeysValues
from unified_jax.nn.block import Block, Side, States, add


class ParallelBlock(Block):
    """xs + gate * (o(attend(q, k, v)) + mlp), both of the same normalised states (GPT-J; PaLM, arXiv:2204.02311, 2)."""

    @nn.compact
    def __call__(
        self, xs: States, past: KeysValues | None, side: Side, *, window: Int[Array, ""] | None = None
    ) -> tuple[States, KeysValues]:
        """As ``Block``."""
        y, gates = self._normed(self.pre_norm, "norm", xs, side.at("attn"))
        out, kv = self._attend(y, past, side, window)
        return add(add(xs, out, gates), self._feed(self._going(y), side), gates), kv
