"""Alignment: latents in training beside the features that a teacher has of the same places."""

from flax import struct

from unified_jax.core.types import Leaf


@struct.dataclass
class Alignment:
    """ours: float32 [B N D], projected to the teacher's width. theirs: float32 [B N D]."""

    ours: Leaf
    theirs: Leaf
