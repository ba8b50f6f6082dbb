"""Continued: a stack, and a second one that goes on with its states: the flow head of Show-o2, which reads words and
pictures alike (arXiv:2506.15564, section 3.2).

    x = stack(x)        y = then(connector(x), condition)        [x, y]

Keys and values, and the cache, are those of the first and then of the second, which may be of other sizes.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.cache import Cache
from unified_jax.core.sequence import Slots
from unified_jax.core.types import Array
from unified_jax.nn.block import States
from unified_jax.nn.stack import Stack


class Continued(nn.Module):
    """connector: of ``nn/connectors``, with a state for every slot, from the width of the first to that of the second.

    condition: told to the norms of the second alone.
    """

    stack: Stack
    connector: nn.Module
    then: Stack

    def __call__(
        self, xs: States, *, slots: Slots, cache: Cache | None = None, condition: States | None = None
    ) -> tuple[States, tuple[Array, ...]]:
        """{lane: [B T D]} -> {lane: [B T D + E]}, and (k, v) of the first, (k, v) of the second [L B K T C]."""
        first, second = (None, None) if cache is None else (_part(cache, slice(2)), _part(cache, slice(2, 4)))
        states, own = self.stack(xs, slots=slots, cache=first)
        on = {lane: self.connector(x, grid=(1, x.shape[1])) for lane, x in states.items()}
        on, further = self.then(on, slots=slots, cache=second, condition=condition)
        return {lane: jnp.concatenate([x, on[lane]], -1) for lane, x in states.items()}, (*own, *further)

    @nn.nowrap
    def apart(self, params: Mapping[str, Any], cache: Cache) -> tuple[Mapping[str, Any], Cache]:
        """As ``Stack.apart``."""
        stack, first = self.stack.apart(params["stack"], _part(cache, slice(2)))
        then, second = self.then.apart(params["then"], _part(cache, slice(2, 4)))
        return {**params, "stack": stack, "then": then}, cache.replace(kv=(*first.kv, *second.kv))


def _part(cache: Cache, which: slice) -> Cache:
    return cache.replace(kv=cache.kv[which])
