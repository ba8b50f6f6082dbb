"""Stages: several stacks, one after another, in the place of one (dual stream, then single stream)."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core import layers
from unified_jax.core.cache import Cache
from unified_jax.core.sequence import Slots
from unified_jax.nn.attention import KeysValues
from unified_jax.nn.block import Context, States
from unified_jax.nn.stack import Stack


class Stages(nn.Module):
    """Each stage reads the states of the one before. Keys and values, and the cache, are of all layers in order."""

    stages: tuple[Stack, ...]

    def __call__(
        self,
        xs: States,
        *,
        slots: Slots,
        cache: Cache | None = None,
        condition: States | None = None,
        context: Context | None = None,
    ) -> tuple[States, KeysValues]:
        """As ``Stack``."""
        start, made = 0, []
        for stage in self.stages:
            own = None if cache is None else _part(cache, start, start + stage.depth)
            xs, kv = stage(xs, slots=slots, cache=own, condition=condition, context=context)
            start, made = start + stage.depth, [*made, kv]
        return xs, jax.tree.map(lambda *kv: jnp.concatenate(kv), *made)

    @nn.nowrap
    def apart(self, params: Mapping[str, Any], cache: Cache) -> tuple[Mapping[str, Any], Cache]:
        """As ``Stack.apart``, where it is so of every stage: there is one cache for all of them."""
        if any(stage.unroll < stage.depth for stage in self.stages):
            return params, cache
        names = sorted(params, key=_number)
        own = {name: stage.apart(params[name], cache)[0] for name, stage in zip(names, self.stages, strict=True)}
        return own, cache.replace(kv=layers.apart(cache.kv))


def _part(cache: Cache, start: int, stop: int) -> Cache:
    return cache.replace(kv=layers.some(cache.kv, start, stop))


def _number(name: str) -> int:
    """stages_10 comes after stages_9."""
    return int(name.rpartition("_")[2])
