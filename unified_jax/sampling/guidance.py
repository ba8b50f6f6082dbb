"""Classifier-free guidance (arXiv:2207.12598, eq. 6): on velocities, clean predictions or logits alike."""

from unified_jax.core.types import Array, Float, Int


def guide(
    prediction: Float[Array, "B ..."], scale: Float[Array, "B"] | float, *, null: Int[Array, "B"]
) -> Float[Array, "B ..."]:
    """null + scale * (conditioned - null), row by row.

    null: for each row the row that runs without the condition; a row that names itself is returned unchanged, whatever
    its scale, so that guided and unguided requests share a batch.
    """
    without = prediction[null]
    return without + over(scale, prediction) * (prediction - without)


def over(x: Float[Array, "*B"] | float, like: Float[Array, "B ..."]) -> Float[Array, "..."] | float:
    """One number for each row with the axes that broadcasting against ``like`` needs; a single number as it is."""
    return x if not getattr(x, "ndim", 0) else x.reshape(-1, *[1] * (like.ndim - 1))
