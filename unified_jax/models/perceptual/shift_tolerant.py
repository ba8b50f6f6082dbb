"""Shift-tolerant perceptual distance of two pictures (ST-LPIPS, arXiv:2207.13686, section 4).

    d(a, b) = sum_k mean_(h w) sum_c w_kc (unit(f_k(a)) - unit(f_k(b)))^2     f_k: features after stage k

LPIPS (arXiv:1801.03924, eq. 1) on an AlexNet or VGG-16 whose strides are blurs (``nn/blur.py``) and whose first
convolution leaves out no places. The weights w are at least 0, so the distance is too.
"""

from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Float
from unified_jax.interop.rules import Rule
from unified_jax.models.published import Component, Published
from unified_jax.nn.blur import blur
from unified_jax.nn.conv import Conv
from unified_jax.nn.dense import Dense

MEAN, STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pixels in [-1, 1]


class Stem(nn.Module):
    """relu(blur(convolution)): AlexNet's first layer, its stride after it."""

    width: int
    size: int
    padding: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        sides = ((self.padding, self.padding),) * 2
        return jax.nn.relu(blur(Conv(self.width, self.size, padding=sides, dtype=self.dtype, name="conv_0")(x)))


class Stage(nn.Module):
    """Convolutions with relu, after the largest of pool x pool neighbours and a blur where ``pool`` is not 0."""

    widths: Sequence[int]
    size: int = 3
    pool: int = 0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        if self.pool:
            x = blur(nn.max_pool(x, (self.pool, self.pool), (1, 1)))
        for i, width in enumerate(self.widths):
            x = jax.nn.relu(Conv(width, self.size, dtype=self.dtype, name=f"conv_{i}")(x))
        return x


class Distance(nn.Module):
    """stages: one after another; what each gives is compared."""

    stages: Sequence[nn.Module]

    @nn.compact
    def __call__(self, a: Float[Array, "B H W 3"], b: Float[Array, "B H W 3"]) -> Float[Array, "B"]:
        """Pixels in [-1, 1] of two sets of pictures -> the distance of each pair."""
        x = (jnp.concatenate([a, b]) - jnp.asarray(MEAN)) / jnp.asarray(STD)
        total = jnp.zeros(len(a), jnp.float32)
        for k, stage in enumerate(self.stages):
            x = stage(x)
            f = _unit(x.astype(jnp.float32))
            squared = jnp.square(f[: len(a)] - f[len(a) :])
            total = total + Dense(1, name=f"weigh_{k}")(squared.mean((1, 2)))[:, 0]
        return total


def _unit(x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """x / (|x| + 1e-10), with a gradient of zero, and not of infinity times zero, where no feature is active."""
    squared = jnp.square(x).sum(-1, keepdims=True)
    length = jnp.sqrt(jnp.where(squared > 0, squared, 1.0))
    return x / (jnp.where(squared > 0, length, 0.0) + 1e-10)


def alex(*, dtype: DTypeLike = "float32") -> Component:
    """On AlexNet."""
    stage = partial(Stage, dtype=dtype)
    stages = (
        Stem(64, size=11, padding=2, dtype=dtype),
        stage((192,), size=5, pool=3),
        stage((384,), pool=3),
        stage((256,)),
        stage((256,)),
    )
    return _component(stages, numbers=((0,), (5,), (9,), (11,), (13,)))


def vgg(*, dtype: DTypeLike = "float32") -> Component:
    """On VGG-16."""
    stage = partial(Stage, dtype=dtype)
    stages = (
        stage((64, 64)),
        stage((128, 128), pool=2),
        stage((256,) * 3, pool=2),
        stage((512,) * 3, pool=2),
        stage((512,) * 3, pool=2),
    )
    return _component(stages, numbers=((0, 2), (6, 8), (12, 14, 16), (20, 22, 24), (28, 30, 32)))


def _component(stages: Sequence[nn.Module], *, numbers: Sequence[Sequence[int]]) -> Component:
    """numbers: of the convolutions of every stage, in the published list of layers."""
    rules = [Rule(f"lin{k}.model.1.weight", f"weigh_{k}/kernel", "d c 1 1 -> c d") for k in range(len(stages))]
    for k, layers in enumerate(numbers):
        for i, layer in enumerate(layers):
            name, path = f"net.slice{k + 1}.{layer}", f"stages_{k}/conv_{i}"
            rules += [
                Rule(f"{name}.weight", f"{path}/kernel", "d c h w -> h w c d"),
                Rule(f"{name}.bias", f"{path}/bias"),
            ]
    picture = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    # The published filters and scales are the constants of this file and of nn/blur.py (tests/parity).
    published = Published({}, tuple(rules), skip=r".*\.filt|scaling_layer\..*")
    return Component(Distance(stages), (picture, picture), published)
