"""Reconstruction: what a codec in training predicts, pixels or patches and the price of its bottleneck."""

from flax import struct

from unified_jax.core.types import Leaf


@struct.dataclass
class Reconstruction:
    """values: float [... P], what was decoded. penalty: float32 [...], the bottleneck's own loss for each entry (a
    quantiser's commitment, the divergence of a Gaussian latent).
    """

    values: Leaf
    penalty: Leaf
