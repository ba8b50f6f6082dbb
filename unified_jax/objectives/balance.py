"""Balance: what keeps learned routers from using few experts, and their logits small.

    load = E * sum_e (counts_e / tokens) * (probability_e / tokens)      (arXiv:2101.03961, eq. 4 to 6; at balance, top_k)
    z    = squared_logsumexp / tokens                                    (arXiv:2202.08906, eq. 5)
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.routing import RouterStats
from unified_jax.core.types import Array, Float, Leaf


def load_balance(stats: RouterStats) -> Float[Array, "*L"]:
    """One value for each layer. Only the probabilities have a gradient: a count is a choice."""
    tokens = jnp.maximum(stats.tokens, 1.0)[..., None]
    return stats.counts.shape[-1] * (stats.counts / tokens * stats.probability / tokens).sum(-1)


def router_z(stats: RouterStats) -> Float[Array, "*L"]:
    """One value for each layer."""
    return stats.squared_logsumexp / jnp.maximum(stats.tokens, 1.0)


def layerwise(stats: RouterStats) -> RouterStats:
    """Every layer is to be balanced by itself."""
    return stats


def pooled(stats: RouterStats) -> RouterStats:
    """The layers as one: expert e of all layers together is to get its share, as in the published Mixtral's loss."""
    layers = tuple(range(stats.tokens.ndim))
    return jax.tree.map(lambda x: x.sum(layers), stats)


@struct.dataclass
class RouterLosses:
    """Unweighted means over all routers, float32 []."""

    load: Leaf
    z: Leaf


@dataclasses.dataclass(frozen=True)
class Balance:
    """load, z: weights of the two losses. over: ``layerwise`` or ``pooled``, what the load is balanced over."""

    load: float = 0.01
    z: float = 0.001
    over: Callable[[RouterStats], RouterStats] = layerwise

    def losses(self, sown: Any) -> RouterLosses:
        """sown: the collection "router" after a forward pass. A model without routers has losses of zero."""
        routers = jax.tree.leaves(sown, is_leaf=lambda x: isinstance(x, RouterStats))
        if not routers:
            return RouterLosses(jnp.zeros(()), jnp.zeros(()))
        mean = lambda values: jnp.concatenate([jnp.ravel(x) for x in values]).mean()
        load = mean([load_balance(self.over(stats)) for stats in routers])
        return RouterLosses(load, mean([router_z(stats) for stats in routers]))

    def total(self, losses: RouterLosses) -> Float[Array, ""]:
        return self.load * losses.load + self.z * losses.z
