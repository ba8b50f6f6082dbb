"""LongSkips: a stack whose later layers also read the states of the earlier ones (U-ViT, arXiv:2209.12152, section 3).

layer depth - 1 - i reads W [x, x after layer i],     i < depth / 2; the middle layer reads x alone
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import DTypeLike
from unified_jax.nn.attention import KeysValues
from unified_jax.nn.block import States
from unified_jax.nn.dense import Dense
from unified_jax.nn.stack import Stack


class Joined(nn.Module):
    """A block, and what joins its input with the states kept for it."""

    block: Callable[..., nn.Module]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, xs: States, kept: States, run: Callable[..., Any]) -> tuple[States, KeysValues]:
        """run: (block, states) -> as ``Block``."""
        route = self.block.keywords["route"]
        joins = {
            expert: Dense(width, use_bias=True, dtype=self.dtype, name=f"join_{expert}")
            for expert, width in sorted({route[lane]: x.shape[-1] for lane, x in xs.items()}.items())
        }
        both = {lane: jnp.concatenate([x, kept[lane]], -1) for lane, x in xs.items()}
        return run(self.block(name="layer"), {lane: joins[route[lane]](x) for lane, x in both.items()})


class LongSkips(Stack):
    """As ``Stack``, of an odd depth; its parameters are under ``down``, ``middle`` and ``up``, stacked in each.

    dtype: of the maps that join. Raises ValueError for an even depth.
    """

    dtype: DTypeLike = jnp.float32

    def _scanned(
        self, layer: Callable[..., Any], xs: States, each: Any, layers: int | None
    ) -> tuple[States, KeysValues]:
        if self.depth % 2 == 0 or layers is not None:
            raise ValueError(f"long skips join layers in pairs around a middle one: an odd depth, not {self.depth}")
        half, middle = self.depth // 2, slice(self.depth // 2, self.depth // 2 + 1)
        of = lambda part: jax.tree.map(lambda x: x[part], each)

        def down(block, xs, own):
            xs, kv = layer(block, xs, own)
            return xs, (kv, xs)

        def up(joined, xs, own):
            kept, own = own
            return joined(xs, kept, lambda block, xs: layer(block, xs, own))

        xs, (first, kept) = self._scan(down, half)(self.block(name="down"), xs, of(slice(half)))
        xs, second = self._scan(layer, 1)(self.block(name="middle"), xs, of(middle))
        latest_first = jax.tree.map(lambda x: x[::-1], kept)
        rest = (latest_first, of(slice(half + 1, None)))
        xs, third = self._scan(up, half)(Joined(self.block, self.dtype, name="up"), xs, rest)
        return xs, jax.tree.map(lambda *kv: jnp.concatenate(kv), first, second, third)
