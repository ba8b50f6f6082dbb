"""Confidence: masked ids are uncovered in passes, the surest first (MaskGIT, arXiv:2202.04200, section 3.2)."""

import dataclasses

import jax
import jax.numpy as jnp

from unified_jax.core.masking import Ratio, cosine
from unified_jax.core.types import Array, Float, Int, PRNGKeyArray


@dataclasses.dataclass(frozen=True)
class Confident:
    """Every pass chooses an id for each mask and hides again those it is least sure of, ratio(s) of all.

        confidence = log p(chosen id) + noise * s * Gumbel

    noise: how much chance has a say in the order; it fades as s goes to 0. Which ids are kept depends on the ids
    themselves, so what is drawn is sharper than the model's distribution; only an order of pure chance, ``noise``
    without bound, leaves it as it is (at one id a pass).
    """

    mask: int
    ratio: Ratio = cosine
    noise: float = 4.5

    def start(self, rng: PRNGKeyArray, shape: tuple[int, ...]) -> Int[Array, "..."]:
        """z at t = 1."""
        return jnp.full(shape, self.mask, jnp.int32)

    def reverse(
        self,
        rng: PRNGKeyArray,
        z: Int[Array, "N"],
        logits: Float[Array, "N V"],
        *,
        t: Float[Array, ""],
        s: Float[Array, ""],
    ) -> Int[Array, "N"]:
        """One picture's z [N] at time s < t from logits [N V]. At least one id is uncovered."""
        id_rng, order_rng = jax.random.split(rng)
        masked = z == self.mask
        chosen = jnp.where(masked, jax.random.categorical(id_rng, logits).astype(z.dtype), z)
        sure = jnp.take_along_axis(jax.nn.log_softmax(logits), chosen[..., None], -1)[..., 0]
        sure = jnp.where(masked, sure + self.noise * s * jax.random.gumbel(order_rng, z.shape), jnp.inf)
        # A whole number may come out of float32 arithmetic a little too small.
        hide = jnp.minimum(jnp.floor(self.ratio(s) * len(z) + 1e-3), masked.sum() - 1)
        rank = jnp.argsort(jnp.argsort(sure, stable=True), stable=True)
        return jnp.where(rank < hide, self.mask, chosen)
