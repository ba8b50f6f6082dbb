"""Corrections of what guidance makes too strong: contrast, norm and range, every sample by itself.

Published code of the "global" renormalisation takes one norm over all pictures of a batch; here it is of each.
"""

import jax.numpy as jnp

from unified_jax.core.noise import over
from unified_jax.core.types import Array, Float


def rescale(
    guided: Float[Array, "B ..."], conditioned: Float[Array, "B ..."], *, amount: float = 0.7
) -> Float[Array, "B ..."]:
    """Towards the standard deviation of the conditioned prediction (arXiv:2305.08891, eq. 15 and 16)."""
    axes = tuple(range(1, guided.ndim))
    factor = conditioned.std(axes) / guided.std(axes)
    return guided * over(amount * factor + (1 - amount), guided)


def renormalise(
    guided: Float[Array, "B ..."], conditioned: Float[Array, "B ..."], *, least: float = 0.0
) -> Float[Array, "B ..."]:
    """At most the norm of the conditioned prediction, over all of a sample (BAGEL's "global").

    least: of the factor. github.com/bytedance-seed/BAGEL, ``modeling/bagel/bagel.py``.
    """
    return _shrunk(guided, conditioned, axes=tuple(range(1, guided.ndim)), least=least)


def renormalise_channels(
    guided: Float[Array, "B ..."], conditioned: Float[Array, "B ..."], *, least: float = 0.0
) -> Float[Array, "B ..."]:
    """The same for each entry, over its channels (BAGEL's "channel")."""
    return _shrunk(guided, conditioned, axes=(-1,), least=least)


def threshold(clean: Float[Array, "B ..."], *, quantile: float = 0.995) -> Float[Array, "B ..."]:
    """Estimated data clipped at its ``quantile`` of magnitude, at least 1, and divided by it: dynamic thresholding
    (Imagen, arXiv:2205.11487, section 2.3).
    """
    axes = tuple(range(1, clean.ndim))
    most = over(jnp.maximum(jnp.quantile(jnp.abs(clean), quantile, axis=axes), 1.0), clean)
    return jnp.clip(clean, -most, most) / most


def _shrunk(guided: Array, conditioned: Array, *, axes: tuple[int, ...], least: float) -> Array:
    norm = lambda x: jnp.sqrt(jnp.square(x).sum(axes, keepdims=True))
    return guided * jnp.clip(norm(conditioned) / (norm(guided) + 1e-8), least, 1.0)
