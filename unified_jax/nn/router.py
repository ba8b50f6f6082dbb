"""Router: which experts every token goes to, and with what weight."""

import operator

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.routing import RouterStats
from unified_jax.core.types import Array, Bool, Float, Int, Leaf


@struct.dataclass
class Routing:
    """expert: int32 [N k], the chosen experts, each once; the number of experts stands for none.

    weight: float32 [N k], what the chosen experts' outputs are multiplied by.
    """

    expert: Leaf
    weight: Leaf


class Router(nn.Module):
    """The ``top_k`` most probable experts of softmax(x @ kernel), all in float32.

    normalize: divide the chosen probabilities by their sum, so that the weights sum to 1. Published routers differ.
    modalities: how many kinds of token have a gate of their own over the same experts (arXiv:2506.09344).

    Ties go to the expert with the lower index. Where the caller makes the collection "router" mutable, one
    ``RouterStats`` is sown there, summed over the calls of this module. Raises ValueError when top_k does not fit
    num_experts, and when several gates are given no modality or one gate is given some.
    """

    num_experts: int
    top_k: int
    normalize: bool = True
    modalities: int = 1

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "N D"],
        *,
        valid: Bool[Array, "N"] | None = None,
        modality: Int[Array, "N"] | None = None,
    ) -> Routing:
        """valid: False for padding, which goes to no expert and enters no statistics. modality: 0 .. modalities - 1."""
        if not 1 <= self.top_k <= self.num_experts:
            raise ValueError(f"top_k must be 1 to num_experts = {self.num_experts}, found {self.top_k}")
        logits = self._logits(x.astype(jnp.float32), modality)
        probability = jax.nn.softmax(logits, -1)
        weight, expert = jax.lax.top_k(probability, self.top_k)
        if self.normalize:
            weight = weight / weight.sum(-1, keepdims=True)
        valid = jnp.ones(len(x), bool) if valid is None else valid
        expert = jnp.where(valid[:, None], expert, self.num_experts)
        stats = RouterStats(
            counts=(expert[..., None] == jnp.arange(self.num_experts)).sum((0, 1), dtype=jnp.float32),
            probability=jnp.where(valid[:, None], probability, 0.0).sum(0),
            squared_logsumexp=jnp.where(valid, jnp.square(jax.nn.logsumexp(logits, -1)), 0.0).sum(),
            tokens=valid.sum(dtype=jnp.float32),
        )
        empty = lambda: RouterStats.zeros(self.num_experts)
        self.sow("router", "stats", stats, reduce_fn=operator.add, init_fn=empty)
        return Routing(expert, weight)

    def _logits(self, x: Float[Array, "N D"], modality: Int[Array, "N"] | None) -> Float[Array, "N E"]:
        init = nn.initializers.lecun_normal(in_axis=-2, out_axis=-1)
        if (self.modalities > 1) != (modality is not None):
            raise ValueError(f"a router of {self.modalities} gate(s) was called with modality {modality}")
        if modality is None:
            return x @ self.param("kernel", init, (x.shape[-1], self.num_experts), jnp.float32)
        kernel = self.param("kernel", init, (self.modalities, x.shape[-1], self.num_experts), jnp.float32)
        # Every gate reads every token: gates are so thin that choosing afterwards is cheaper than sorting before.
        logits = jnp.einsum("ND,MDE->NME", x, kernel)
        return jnp.take_along_axis(logits, modality[:, None, None], 1)[:, 0]
