"""Discrete diffusion: how ids are lost between t = 0 and t = 1, and what a denoiser's error costs in nats.

    Absorbing   q(z | x) = (1 - m) [z = x] + m [z = mask]          m = ratio(t)
    Uniform     q(z | x) = (1 - m) [z = x] + m / V

A process is read by the objective (``corrupt``, ``cost``) and by the sampler (``start``, ``reverse``). The network
predicts p(x | z) of every entry. The mean of ``cost`` over t ~ U(0, 1) is the continuous-time evidence bound on
-log p(x), in nats, with nothing left out: at t = 1 nothing of x remains and at t = 0 nothing is lost. For a network
that is the exact posterior the bound is the likelihood itself.
"""

import dataclasses

import jax
import jax.numpy as jnp

from unified_jax.core.masking import Ratio, linear, slope
from unified_jax.core.types import Array, Float, Int, PRNGKeyArray

EDGE = 1e-5  # shares this close to 0 and 1 count as this far from them, where one factor vanishes and another grows


@dataclasses.dataclass(frozen=True)
class Absorbing:
    """Ids become ``mask`` one by one (MDLM, arXiv:2406.07524, eq. 10; D3PM, arXiv:2107.03006, appendix A.2).

        cost = ratio'(t) / ratio(t) * -log p(x | z) where z is the mask, 0 elsewhere

    With the linear ratio the factor is LLaDA's 1 / t (arXiv:2502.09992, eq. 3).
    """

    mask: int
    ratio: Ratio = linear

    def start(self, rng: PRNGKeyArray, shape: tuple[int, ...]) -> Int[Array, "..."]:
        """z at t = 1."""
        return jnp.full(shape, self.mask, jnp.int32)

    def corrupt(self, rng: PRNGKeyArray, x: Int[Array, "*n"], t: Float[Array, "*n"]) -> Int[Array, "*n"]:
        """z at time t."""
        return jnp.where(jax.random.uniform(rng, x.shape) < self.ratio(t), self.mask, x)

    def cost(
        self, logits: Float[Array, "*n V"], x: Int[Array, "*n"], *, z: Int[Array, "*n"], t: Float[Array, "*n"]
    ) -> Float[Array, "*n"]:
        """The density over t of the bound, in nats. The mask is no class: V counts data only."""
        nats = -jnp.take_along_axis(jax.nn.log_softmax(logits), x[..., None], -1)[..., 0]
        return jnp.where(z == self.mask, slope(self.ratio, t) / jnp.maximum(self.ratio(t), EDGE) * nats, 0.0)

    def reverse(
        self, rng: PRNGKeyArray, z: Int[Array, "*n"], logits: Float[Array, "*n V"], *, t: Array, s: Array
    ) -> Int[Array, "*n"]:
        """z at time s < t: a mask stays one with probability ratio(s) / ratio(t) (MDLM, eq. 7)."""
        stay_rng, id_rng = jax.random.split(rng)
        stays = jax.random.uniform(stay_rng, z.shape) < self.ratio(s) / self.ratio(t)
        return jnp.where((z == self.mask) & ~stays, jax.random.categorical(id_rng, logits).astype(z.dtype), z)


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Ids are exchanged for others of the ``codes``, all alike (D3PM, arXiv:2107.03006, appendix A.2).

    The reverse rates are those of Campbell et al. (arXiv:2205.14987, proposition 3), linear in the prediction p. With
    a = V (1 - m) / m, the rate of leaving z for y is ratio' / (1 - m) / V times

        r_y(p) = 1 + a p_y - p_z a / (1 + a)

    and the cost is the divergence rate sum_(y != z) r_y(p) - r_y(x) + r_y(x) log(r_y(x) / r_y(p)), where x stands for
    its own one-hot vector. UDLM (arXiv:2412.10193) puts its prediction in numerator and denominator instead, which is
    exact for a network that does not see its own entry; this form is for one that does.
    """

    codes: int
    ratio: Ratio = linear

    def start(self, rng: PRNGKeyArray, shape: tuple[int, ...]) -> Int[Array, "..."]:
        """z at t = 1."""
        return jax.random.randint(rng, shape, 0, self.codes)

    def corrupt(self, rng: PRNGKeyArray, x: Int[Array, "*n"], t: Float[Array, "*n"]) -> Int[Array, "*n"]:
        """z at time t."""
        lost_rng, id_rng = jax.random.split(rng)
        lost = jax.random.uniform(lost_rng, x.shape) < self.ratio(t)
        return jnp.where(lost, self.start(id_rng, x.shape), x)

    def cost(
        self, logits: Float[Array, "*n V"], x: Int[Array, "*n"], *, z: Int[Array, "*n"], t: Float[Array, "*n"]
    ) -> Float[Array, "*n"]:
        """The density over t of the bound, in nats."""
        lost = jnp.clip(self.ratio(t), EDGE, 1 - EDGE)
        odds = (self.codes * (1 - lost) / lost)[..., None]
        is_z = jax.nn.one_hot(z, self.codes)

        def rates(p):
            return 1 + odds * p - (p * is_z).sum(-1, keepdims=True) * odds / (1 + odds)

        true, made = rates(jax.nn.one_hot(x, self.codes)), rates(jax.nn.softmax(logits))
        # Where the prediction is z itself, the true rate is 1 / (1 + odds), never 0.
        divergence = (made - true + true * jnp.log(true / made)) * (1 - is_z)
        return slope(self.ratio, t) / (1 - lost) / self.codes * divergence.sum(-1)

    def reverse(
        self, rng: PRNGKeyArray, z: Int[Array, "*n"], logits: Float[Array, "*n V"], *, t: Array, s: Array
    ) -> Int[Array, "*n"]:
        """z at time s < t by sum_x q(y | z, x) p(x | z), entry by entry (D3PM, eq. 4)."""
        kept_t, kept_s = 1 - self.ratio(t)[..., None], 1 - self.ratio(s)[..., None]
        kept = kept_t / jnp.maximum(kept_s, EDGE)
        is_z = jax.nn.one_hot(z, self.codes)
        among = lambda share, one: share * one + (1 - share) / self.codes  # q of one id, over all others
        p = jax.nn.softmax(logits) / jnp.maximum(among(kept_t, is_z), 1e-20)
        weights = among(kept, is_z) * (kept_s * p + (1 - kept_s) / self.codes * p.sum(-1, keepdims=True))
        return jax.random.categorical(rng, jnp.log(weights + 1e-30)).astype(z.dtype)
