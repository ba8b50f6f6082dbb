"""Confidence: masked ids are uncovered in passes, the surest first (MaskGIT, arXiv:2202.04200, section 3.2)."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from unified_jax.core.masking import Ratio, cosine
from unified_jax.core.types import Array, Float, Int, PRNGKeyArray

Fade = Callable[[Array, Array], Array]  # (t, s) of a pass -> what is left of the noise


def to_the_end(t: Float[Array, ""], s: Float[Array, ""]) -> Float[Array, ""]:
    """s: evenly (MaskGIT)."""
    return s


def compounded(t: Float[Array, ""], s: Float[Array, ""]) -> Float[Array, ""]:
    """The product of the s of all passes so far, for passes that are equally long: (S - 1)! / (S s - 1)! / S^(S - S s)
    of S passes (github.com/showlab/Show-o, where every pass multiplies what the last one left).
    """
    passes = jnp.round(1 / jnp.maximum(t - s, 1e-6))
    left, gammaln = jnp.round(passes * s), jax.scipy.special.gammaln
    return jnp.exp(gammaln(passes) - gammaln(left) - (passes - left) * jnp.log(passes))


@dataclasses.dataclass(frozen=True)
class Confident:
    """Every pass chooses an id for each mask and hides again those it is least sure of, ratio(s) of all.

        confidence = log p(chosen id) + noise * fade * Gumbel

    noise: how much chance has a say in the order; it fades as s goes to 0. least: masks that all passes but the last
    leave. Which ids are kept depends on the ids themselves, so what is drawn is sharper than the model's distribution;
    only an order of pure chance, ``noise`` without bound, leaves it as it is (at one id a pass).
    """

    mask: int
    ratio: Ratio = cosine
    noise: float = 4.5
    fade: Fade = to_the_end
    least: int = 0

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
        ids, order = (jax.random.gumbel(key, x.shape) for key, x in zip(jax.random.split(rng), (logits, z)))
        return self.uncover(z, logits, ids=ids, order=order, t=t, s=s)

    def uncover(
        self,
        z: Int[Array, "N"],
        logits: Float[Array, "N V"],
        *,
        ids: Float[Array, "N V"],
        order: Float[Array, "N"],
        t: Float[Array, ""],
        s: Float[Array, ""],
    ) -> Int[Array, "N"]:
        """``reverse`` with the Gumbel noise of both choices given."""
        masked = z == self.mask
        chosen = jnp.where(masked, jnp.argmax(logits + ids, -1).astype(z.dtype), z)
        sure = jnp.take_along_axis(jax.nn.log_softmax(logits), chosen[..., None], -1)[..., 0]
        sure = jnp.where(masked, sure + self.noise * self.fade(t, s) * order, jnp.inf)
        # A whole number may come out of float32 arithmetic a little too small.
        hide = jnp.minimum(jnp.floor(self.ratio(s) * len(z) + 1e-3), masked.sum() - 1)
        hide = jnp.where(s > 0, jnp.maximum(hide, jnp.minimum(self.least, masked.sum())), hide)
        rank = jnp.argsort(jnp.argsort(sure, stable=True), stable=True)
        return jnp.where(rank < hide, self.mask, chosen)
