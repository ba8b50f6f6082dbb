"""Stages: several stacks, one after another, in the place of one (dual stream, then single stream)."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from unified_jax.core import layers
from unified_jax.core.cache import Cache
from unified_jax.core.sequence import Slots
from unified_jax.nn.attention import AllKeysValues
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
    ) -> tuple[States, AllKeysValues]:
        """As ``Stack``."""
        start, made = 0, []
        for stage in self.stages:
            own = None if cache is None else _part(cache, start, start + stage.depth)
            xs, kv = stage(xs, slots=slots, cache=own, condition=condition, context=context)
            start, made = start + stage.depth, [*made, kv]
        return xs, layers.joined(*made)

    @nn.nowrap
    def apart(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """As ``Stack.apart``, where all stages have their layers apart: those of one cache are alike."""
        each = {name: self.stages[i].apart(params[name]) for i, name in enumerate(sorted(params, key=_number))}
        return params if any(each[name] is params[name] for name in params) else each


def _part(cache: Cache, start: int, stop: int) -> Cache:
    return cache.replace(kv=layers.some(cache.kv, start, stop))


def _number(name: str) -> int:
    """stages_10 comes after stages_9."""
    return int(name.rpartition("_")[2])
