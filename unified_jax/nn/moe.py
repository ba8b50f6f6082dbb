"""Moe: a mixture of gated feed-forward experts with learned top-k routing, dropless.

    y = sum over the k chosen experts e of weight_e * down_e(activation(gate_e(x)) * up_e(x))   + shared(x)

(arXiv:2101.03961, section 2.1; top-k and gated experts as in arXiv:2401.04088, section 2.1.) Compute is that of a dense
gated MLP of hidden width top_k * hidden, whatever the number of experts.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, Bool, DTypeLike, Float, Int
from unified_jax.nn.dense import Dense
from unified_jax.nn.expert_dispatch import Kernels, local
from unified_jax.nn.expert_dot import grouped_dot
from unified_jax.nn.router import Router, Routing


class Moe(nn.Module):
    """num_experts experts of width ``hidden``, ``top_k`` of them for each token.

    normalize, modalities: see ``Router``. shared: partial of a feed-forward piece that serves every token beside the
    routed ones. dispatch, grouped: see ``Experts``.
    """

    num_experts: int
    top_k: int
    hidden: int
    activation: Callable[[Array], Array] = jax.nn.silu
    normalize: bool = True
    modalities: int = 1
    shared: Callable[..., nn.Module] | None = None
    dispatch: Callable[..., Array] = local
    grouped: Callable[..., Array] = grouped_dot
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*n D"],
        *,
        valid: Bool[Array, "*n"] | None = None,
        modality: Int[Array, "*n"] | None = None,
    ) -> Float[Array, "*n D"]:
        """valid: False for padding, which no routed expert sees. modality: which gate each token is routed by."""
        flat = lambda mask: None if mask is None else mask.reshape(-1)
        rows = x.reshape(-1, x.shape[-1])
        router = Router(self.num_experts, self.top_k, self.normalize, self.modalities, name="router")
        routing = router(rows, valid=flat(valid), modality=flat(modality))
        experts = Experts(
            self.num_experts, self.hidden, self.activation, self.dispatch, self.grouped, self.dtype, name="experts"
        )
        y = experts(rows.astype(self.dtype), routing).reshape(x.shape)
        return y if self.shared is None else y + self.shared(name="shared")(x)


class Experts(nn.Module):
    """Gated MLPs side by side: gate, up [E D F] and down [E F D].

    dispatch: brings rows to experts, ``local`` or an ``ExpertParallel``. grouped: the product of sorted rows with their
    experts' matrices, called like ``jax.lax.ragged_dot``.
    """

    num_experts: int
    hidden: int
    activation: Callable[[Array], Array] = jax.nn.silu
    dispatch: Callable[..., Array] = local
    grouped: Callable[..., Array] = grouped_dot
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "N D"], routing: Routing) -> Float[Array, "N D"]:
        def kernel(name: str, inputs: int, outputs: int):
            return Kernel((self.num_experts, inputs, outputs), name=name)().astype(self.dtype)

        width = x.shape[-1]
        kernels = Kernels(
            gate=kernel("gate", width, self.hidden),
            up=kernel("up", width, self.hidden),
            down=kernel("down", self.hidden, width),
        )

        def feed_forward(kernels: Kernels, rows: Array, *, group_sizes: Array) -> Array:
            gate, up = (self.grouped(rows, kernel, group_sizes) for kernel in (kernels.gate, kernels.up))
            return self.grouped(self.activation(gate) * up, kernels.down, group_sizes)

        return self.dispatch(x, routing, kernels=kernels, feed_forward=feed_forward)


class Kernel(nn.Module):
    """One matrix for each expert, [E D F], each drawn as a dense layer's would be."""

    shape: tuple[int, int, int]

    @nn.compact
    def __call__(self) -> Float[Array, "E D F"]:
        init = nn.initializers.lecun_normal(in_axis=1, out_axis=2, batch_axis=0)
        return self.param("kernel", init, self.shape, jnp.float32)


class Weighed(nn.Module):
    """sigmoid(score(x)) * body(x): a feed-forward piece that every token turns up or down for itself."""

    body: Callable[..., nn.Module]
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        score = Dense(1, dtype=self.dtype, name="score")(x)
        return jax.nn.sigmoid(score) * self.body(name="body")(x)
