"""Average velocities: what few-step objectives regress, u(x_t, t, r) with x_r = x_t - (t - r) u on the straight path.

The network is told t as the ``time`` and r as the ``until`` of its entries; with r = t, u is the velocity itself.
"""

from flax import struct

from unified_jax.core.types import Leaf


@struct.dataclass
class Average:
    """velocity: e - x of the path. value: what u is regressed to, once the model has been asked. [B N P] each."""

    velocity: Leaf
    value: Leaf = None
