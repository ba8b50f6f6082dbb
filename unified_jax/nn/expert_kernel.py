"""The grouped product as the Pallas kernel that comes with JAX, for TPUs.

libtpu 0.0.52 compiles ``jax.lax.ragged_dot`` to the work there is for v5p, but for v5e and v6e to one masked dense
product for each expert. By the compiler's own count this kernel costs what there is on all three.
"""

import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.megablox import ops

from unified_jax.core.types import Array, Float, Int


def kernel_dot(
    x: Float[Array, "N D"],
    kernel: Float[Array, "E D F"],
    group_sizes: Int[Array, "E"],
    *,
    tile: int = 512,
) -> Float[Array, "N F"]:
    """x[r] @ kernel[e] for the rows r of group e; other rows are not written, and may be anything.

    tile: rows and columns of one product, of which a group wastes less than one.
    """
    rows = len(x)
    # The kernel wants whole tiles of rows; those added belong to no group.
    tile = min(tile, -(-rows // 128) * 128)
    x = jnp.pad(x, ((0, -rows % tile), (0, 0)))
    return ops.gmm(x, kernel, group_sizes, x.dtype, (tile, tile, tile))[:rows]
