"""EfficientNet-Lite0: features of ImageNet, for distances between sets of pictures (arXiv:1905.11946, table 1).

stem 3 x 3 stride 2, seven runs of inverted bottlenecks (arXiv:1801.04381, figure 3b), head 1 x 1, mean over places.

Lite (the TensorFlow TPU models' README): no squeeze-and-excitation, relu6, stem and head of the smallest size.
Distances between such features compare among themselves only; none of them is an FID, which is of another network.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.types import Array, DTypeLike, Float, Leaf
from unified_jax.interop.rules import Rule
from unified_jax.models.published import Component, Published
from unified_jax.nn.conv import Conv, DepthwiseConv
from unified_jax.nn.dense import Dense
from unified_jax.nn.norm import FixedNorm

EPSILON = 1e-3
RUNS = (  # size of kernel, stride of the first block, expansion, width, blocks
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)


@struct.dataclass
class Seen:
    """features: [B D], the mean over places. logits: [B V], of ImageNet's classes."""

    features: Leaf
    logits: Leaf


class Step(nn.Module):
    """norm(convolution), of all channels or, where ``features`` is None, of every one by itself."""

    features: int | None
    size: int = 1
    stride: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        make = DepthwiseConv if self.features is None else partial(Conv, self.features)
        conv = make(size=self.size, stride=self.stride, use_bias=False, dtype=self.dtype, name="conv")
        return FixedNorm(EPSILON, name="norm")(conv(x))


class Bottleneck(nn.Module):
    """Widen, convolve every channel, narrow; the input is added where nothing changes its shape."""

    features: int
    size: int
    stride: int
    expansion: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W C"]) -> Float[Array, "B h w D"]:
        width, y = x.shape[-1] * self.expansion, x
        if self.expansion > 1:
            y = jax.nn.relu6(Step(width, dtype=self.dtype, name="widen")(y))
        y = Step(None, self.size, self.stride, self.dtype, name="each")(y)
        y = Step(self.features, dtype=self.dtype, name="narrow")(jax.nn.relu6(y))
        return x + y if x.shape == y.shape else y


class EfficientNet(nn.Module):
    """Pictures of any size; their sides were 224 in training."""

    classes: int = 1000
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, pixels: Float[Array, "B H W 3"]) -> Seen:
        """pixels: in [-1, 1]."""
        x = (127.5 * pixels + 0.5) / 128  # (255 x - 127) / 128 of x in [0, 1]
        x = jax.nn.relu6(Step(32, 3, 2, dtype=self.dtype, name="stem")(x))
        blocks = [
            (width, size, stride if first == 0 else 1, expansion)
            for size, stride, expansion, width, count in RUNS
            for first in range(count)
        ]
        for i, block in enumerate(blocks):
            x = Bottleneck(*block, self.dtype, name=f"block_{i}")(x)
        x = jax.nn.relu6(Step(1280, dtype=self.dtype, name="head")(x))
        features = x.mean((1, 2), dtype=jnp.float32)
        return Seen(features, Dense(self.classes, use_bias=True, name="classes")(features))


def efficientnet_lite0(*, dtype: DTypeLike = "float32") -> Component:
    """With the names of the packaged weights."""
    inputs = (jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32),)
    return Component(EfficientNet(dtype=dtype), inputs, Published({}, RULES, skip=r".*\.num_batches_tracked"))


def _step(conv: str, norm: str, path: str, form: str = "d c h w -> h w c d") -> tuple[Rule, ...]:
    return (
        Rule(f"{conv}.weight", f"{path}/conv/kernel", form),
        Rule(f"{norm}.weight", f"{path}/norm/scale"),
        Rule(f"{norm}.bias", f"{path}/norm/bias"),
        Rule(f"{norm}.running_mean", f"{path}/norm/mean"),
        Rule(f"{norm}.running_var", f"{path}/norm/variance"),
    )


def _block(i: int) -> tuple[Rule, ...]:
    published, ours = f"_blocks.{i}", f"block_{i}"
    return (
        *_step(f"{published}._expand_conv", f"{published}._bn0", f"{ours}/widen"),
        *_step(f"{published}._depthwise_conv", f"{published}._bn1", f"{ours}/each"),
        *_step(f"{published}._project_conv", f"{published}._bn2", f"{ours}/narrow"),
    )


RULES = (
    *_step("_conv_stem", "_bn0", "stem"),
    *(rule for i in range(sum(run[-1] for run in RUNS)) for rule in _block(i)),
    *_step("_conv_head", "_bn1", "head"),
    Rule("_fc.weight", "classes/kernel", "f d -> d f"),
    Rule("_fc.bias", "classes/bias"),
)
