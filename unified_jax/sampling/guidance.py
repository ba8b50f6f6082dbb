"""Classifier-free guidance (arXiv:2207.12598, eq. 6): on velocities, clean predictions or logits alike."""

import jax.numpy as jnp

from unified_jax.core.types import Array


def guide(prediction: Array, scale: float, *, guided: bool) -> Array:
    """null + scale * (conditioned - null).

    prediction: [2B ...], the conditioned rows then the null rows, or [B ...] when not ``guided``, returned unchanged.
    """
    if not guided:
        return prediction
    conditioned, null = jnp.split(prediction, 2)
    return null + scale * (conditioned - null)
