"""Feed-forward pieces: [... D] -> [... D], or of another width where they say so."""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.nn.dense import Dense

Activation = Callable[[Array], Array]


def squared_relu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """relu(x)**2 (arXiv:2109.08668)."""
    return jnp.square(jax.nn.relu(x))


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x Phi(x) by the error function (arXiv:1606.08415, section 2), not jax's default, the tanh form."""
    return jax.nn.gelu(x, approximate=False)


def sigmoid_gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x sigmoid(1.702 x) (arXiv:1606.08415, section 2)."""
    return x * jax.nn.sigmoid(1.702 * x)


# By the names published configs use; several name one formula.
ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": gelu,
    "gelu_fast": jax.nn.gelu,
    "gelu_new": jax.nn.gelu,
    "gelu_pytorch_tanh": jax.nn.gelu,
    "quick_gelu": sigmoid_gelu,
    "relu": jax.nn.relu,
    "relu2": squared_relu,
    "silu": jax.nn.silu,
    "swish": jax.nn.silu,
}


def find_activation(name: str) -> Activation:
    """The activation of a published name. Raises ValueError for an unknown one."""
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}; choose one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class GatedMlp(nn.Module):
    """down(activation(gate(x)) * up(x)): SwiGLU with silu (arXiv:2002.05202, eq. 6)."""

    hidden: int
    activation: Activation = jax.nn.silu
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        gate = Dense(self.hidden, use_bias=self.use_bias, dtype=self.dtype, name="gate")(x)
        up = Dense(self.hidden, use_bias=self.use_bias, dtype=self.dtype, name="up")(x)
        y = self.activation(gate) * up
        return Dense(x.shape[-1], use_bias=self.use_bias, dtype=self.dtype, name="down")(y)


class Mlp(nn.Module):
    """down(activation(up(x))) (arXiv:1706.03762, eq. 2). features: of the result, as many as x has unless given."""

    hidden: int
    activation: Activation
    features: int | None = None
    use_bias: bool = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... O"]:
        y = self.activation(Dense(self.hidden, use_bias=self.use_bias, dtype=self.dtype, name="up")(x))
        return Dense(self.features or x.shape[-1], use_bias=self.use_bias, dtype=self.dtype, name="down")(y)
