"""Continuous: what a bottleneck without codes leaves of a picture."""

from flax import struct

from unified_jax.core.types import Leaf


@struct.dataclass
class Continuous:
    """vectors: float32 [... C], latents. penalty: float32 [...], what training pays for each place."""

    vectors: Leaf
    penalty: Leaf
