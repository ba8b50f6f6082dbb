"""Point: a time of a Gaussian path and its two scales, x_t = alpha x + sigma e."""

import jax
from flax import struct

from unified_jax.core.types import AnyArray, Array, Float, Leaf, Shaped


@struct.dataclass
class Point:
    """t: canonical time, 0 = clean data, 1 = noise. alpha, sigma: of data and noise. Float arrays of one shape.

    The shape is that of the first axes of what lies on the path: [] for all of it, [B] by row, [B N] by entry.
    until: the time that a network of average velocities is asked to lead to; None for any other network.
    """

    t: Leaf
    alpha: Leaf
    sigma: Leaf
    until: Leaf = None

    def over(self, x: Float[Array, "..."]) -> "Point":
        """The same point with the axes that broadcasting against ``x`` needs."""
        return jax.tree.map(lambda scale: over(scale, x), self)

    @property
    def ratio(self) -> Array:
        """Noise over data: the sigma of variance-exploding diffusion."""
        return self.sigma / self.alpha


def over(scale: Shaped[AnyArray, "..."] | float, x: Shaped[AnyArray, "..."]) -> Shaped[AnyArray, "..."] | float:
    """``scale`` of x's first axes with an axis of size 1 for each further one; a single number as it is."""
    return scale.reshape(*scale.shape, *[1] * (x.ndim - scale.ndim)) if getattr(scale, "ndim", 0) else scale
