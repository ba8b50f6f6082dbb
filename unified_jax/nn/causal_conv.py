"""Pieces on video, [B F H W C], that see no frame after their own: convolutions over time, halving and doubling it.

    y_f = sum_i kernel_i x_(f - size + 1 + i)        frames before the first are zero

A clip can come whole, or in chunks that remember: what a piece needs of earlier frames is a variable of the collection
"past", which the caller passes in and gets back, so the two ways give the same.

    y, past = module.apply({"params": params}, beginning, mutable=["past"])
    y, past = module.apply({"params": params, **past}, chunk, mutable=["past"])

The first frame is a picture: time is halved and doubled over the frames after it, F = 1 + 2 n <-> 1 + n
(arXiv:2503.20314, section 4.1; the causal layout is that of MAGVIT-v2, arXiv:2310.05737, section 3.2).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float


class CausalConv(nn.Module):
    """frames x size x size convolution: causal in time, zero-padded in space.

    stride: in time; the frames of a chunk must be a multiple of it.
    """

    features: int
    frames: int = 3
    size: int = 3
    stride: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "B F H W C"], before: Float[Array, "B past H W C"] | None = None
    ) -> Float[Array, "B f H W D"]:
        """before: the frames - stride frames ahead of x; unless given, those remembered, and else zeros."""
        shape = (self.frames, self.size, self.size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(in_axis=(0, 1, 2, 3)), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        y = jax.lax.conv_general_dilated(
            self._remember(x, before).astype(self.dtype),
            kernel.astype(self.dtype),
            (self.stride, 1, 1),
            [(0, 0), *[((self.size - 1) // 2, self.size // 2)] * 2],
            dimension_numbers=("NDHWC", "DHWIO", "NDHWC"),
        )
        return y + bias.astype(self.dtype)

    def _remember(self, x: Float[Array, "B F H W C"], before: Array | None) -> Float[Array, "B f H W C"]:
        """x after the frames before it."""
        count = self.frames - self.stride
        if before is None:
            before = self.get_variable("past", "frames", jnp.zeros((x.shape[0], count, *x.shape[2:]), x.dtype))
        joined = jnp.concatenate([before, x], 1)
        if self.is_mutable_collection("past"):
            self.put_variable("past", "frames", joined[:, joined.shape[1] - count :])
        return joined


def begins(module: nn.Module) -> bool:
    """Whether this call of the module sees the first frame, that is, remembers none before it."""
    begun = module.has_variable("past", "begun")
    if module.is_mutable_collection("past"):
        module.put_variable("past", "begun", jnp.ones((), bool))
    return not begun


class HalveFrames(nn.Module):
    """The first frame as it is, then one frame for every two, by a convolution of three frames with stride 2."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B F H W C"]) -> Float[Array, "B f H W C"]:
        halve = CausalConv(x.shape[-1], size=1, stride=2, dtype=self.dtype, name="conv")
        if not begins(self):
            return halve(x)
        picture, x = x[:, :1], x[:, 1:]
        return jnp.concatenate([picture, halve(x, before=picture)], 1)


class DoubleFrames(nn.Module):
    """The first frame as it is, then two frames for every one, by a convolution of the frames after the first."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B F H W C"]) -> Float[Array, "B f H W C"]:
        double = CausalConv(2 * x.shape[-1], size=1, dtype=self.dtype, name="conv")
        if not begins(self):
            return _interleave(double(x))
        return jnp.concatenate([x[:, :1], _interleave(double(x[:, 1:]))], 1)


def _interleave(x: Float[Array, "B F H W C"]) -> Float[Array, "B f H W D"]:
    """The halves of the channels as frames of their own: c c' -> two frames."""
    batch, frames, height, width, channels = x.shape
    x = x.reshape(batch, frames, height, width, 2, channels // 2)
    return jnp.moveaxis(x, 4, 2).reshape(batch, 2 * frames, height, width, channels // 2)


def each_frame(piece: Callable[[Array], Array], x: Float[Array, "B F H W C"]) -> Float[Array, "B F h w D"]:
    """A piece on pictures, applied to every frame by itself."""
    y = piece(x.reshape(-1, *x.shape[2:]))
    return y.reshape(*x.shape[:2], *y.shape[1:])
