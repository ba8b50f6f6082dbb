"""PictureStack: layers over some of the lanes, all told a condition, and an adaptive norm of what the picture ends as.

Lanes that are left out keep their states, and nobody attends to them: only the condition says what they hold (DiT,
arXiv:2212.09748, section 3.2). With all lanes in it, words and picture attend to each other (MM-DiT, arXiv:2403.03206).
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.cache import Cache
from unified_jax.core.sequence import Slots, join, offsets, split
from unified_jax.nn.attention import KeysValues
from unified_jax.nn.block import States
from unified_jax.nn.stack import Stack
from unified_jax.nn.stages import Stages


class PictureStack(nn.Module):
    """stack: without a norm of its own. norm: adaptive. lanes: that the stack runs over, ``picture`` among them."""

    stack: Stack | Stages
    norm: nn.Module
    lanes: tuple[str, ...]
    picture: str = "image"

    def __call__(
        self, xs: States, *, slots: Slots, cache: Cache | None = None, condition: States
    ) -> tuple[States, KeysValues]:
        """As ``Stack``; keys and values of lanes that are left out are zeros."""
        capacity = {lane: x.shape[1] for lane, x in xs.items()}
        apart, own = split(slots, capacity), {lane: xs[lane] for lane in self.lanes}
        made, kv = self.stack(
            own,
            slots=join({lane: apart[lane] for lane in own}),
            cache=cache,
            condition={lane: condition[lane] for lane in own},
        )
        last = self.norm(made[self.picture], condition[self.picture]).states
        return {**xs, **made, self.picture: last}, _among_all(kv, self.lanes, capacity)

    @nn.nowrap
    def apart(self, params: Mapping[str, Any], cache: Cache) -> tuple[dict[str, Any], Cache]:
        """As ``Stack.apart``."""
        own, cache = self.stack.apart(params["stack"], cache)
        return {**params, "stack": own}, cache


def _among_all(kv: KeysValues, lanes: tuple[str, ...], capacity: Mapping[str, int]) -> KeysValues:
    """Keys and values [L B K T C] of some lanes, at their places among the slots of all of them."""
    here, there = offsets({lane: capacity[lane] for lane in lanes}), offsets(capacity)
    whole = sum(capacity.values())

    def spread(x: jax.Array) -> jax.Array:
        y = jnp.zeros((*x.shape[:3], whole, x.shape[4]), x.dtype)
        for lane in lanes:
            own = jax.lax.slice_in_dim(x, here[lane], here[lane] + capacity[lane], axis=3)
            y = jax.lax.dynamic_update_slice_in_dim(y, own, there[lane], axis=3)
        return y

    return jax.tree.map(spread, kv)
