"""Dense: the one matrix product of the library, x [... D] @ kernel [D ...].

All leading axes are flattened into one before the product. XLA on CPU takes the kernel gradient of
``[B, T, D] @ [D, F]`` (a contraction over two axes) 1.9x slower than that of ``[B*T, D] @ [D, F]``; on TPU and GPU
the two compile to the same program.
"""

import math

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float

lecun = nn.initializers.lecun_normal


class Dense(nn.Module):
    """Contracts the last ``axes`` axes of x with a kernel of shape [*inputs, *features].

    features: output axes, e.g. (num_heads, head_dim).
    axes: how many trailing axes of the input are contracted (2 for an attention output [... H C]).
    dtype: compute type; parameters stay float32.
    """

    features: int | tuple[int, ...]
    axes: int = 1
    use_bias: bool = False
    dtype: DTypeLike = jnp.float32
    kernel_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        features = (self.features,) if isinstance(self.features, int) else tuple(self.features)
        inputs, leading = x.shape[x.ndim - self.axes :], x.shape[: x.ndim - self.axes]
        flat_in, flat_out = math.prod(inputs), math.prod(features)
        init = self.kernel_init or lecun(
            in_axis=tuple(range(self.axes)), out_axis=tuple(range(self.axes, self.axes + len(features)))
        )
        kernel = self.param("kernel", init, (*inputs, *features), jnp.float32).astype(self.dtype)
        y = x.reshape(-1, flat_in).astype(self.dtype) @ kernel.reshape(flat_in, flat_out)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, features, jnp.float32)
            y = y + bias.reshape(flat_out).astype(self.dtype)
        return y.reshape(*leading, *features)
