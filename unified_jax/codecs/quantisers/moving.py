"""Moving: a codebook of moving averages (VQ-VAE, arXiv:1711.00937, appendix A.1) whose dead codes are revived.

    N_k <- decay N_k + (1 - decay) n_k      m_k <- decay m_k + (1 - decay) sum of the latents that chose k
    e_k = m_k / N_k

A training step is a pure function of parameters and batch, so the averages are parameters, and the way to their next
values is their gradient: the penalty holds a term of value 0 with d / d(state) = state - next(state, batch). The
optimizer's part is to subtract it as it is (``averaged`` of ``train.optim``). Where a batch comes in parts, the next
values are the mean over parts.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.codecs.quantisers.base import Quantised, Through, commit, straight_through, unit
from unified_jax.codecs.quantisers.nearest import find_nearest
from unified_jax.core.types import Array, Float, Int, Leaf

SMALLEST = 1e-5  # entries; a code that lost all its weight keeps a finite vector


@struct.dataclass
class Averages:
    """counts: float32 [V], how many entries of a batch choose a code. sums: float32 [V C], of their latents."""

    counts: Leaf
    sums: Leaf

    def vectors(self) -> Float[Array, "V C"]:
        """The codebook."""
        return self.sums / jnp.maximum(self.counts, SMALLEST)[:, None]


class Moving(nn.Module):
    """The nearest of ``size`` averages, and their upkeep.

    decay: of the averages. below: a code that is chosen by fewer entries a batch is dead. measure, through: as in
    ``Nearest``.
    """

    shape = ()

    size: int
    width: int
    commitment: float = 0.25
    decay: float = 0.99
    below: float = 0.0
    measure: Callable[[Array], Array] = unit
    through: Through = straight_through

    def setup(self):
        # As if one entry had chosen each code.
        counts = self.param("counts", nn.initializers.ones, (self.size,), jnp.float32)
        self.state = Averages(
            counts, self.param("sums", nn.initializers.normal(1.0), (self.size, self.width), jnp.float32)
        )

    def __call__(self, latents: Float[Array, "*n C"]) -> Quantised:
        z = self.measure(latents.astype(jnp.float32))
        vectors = self._vectors()
        codes = find_nearest(z, vectors)
        chosen = vectors[codes]
        flat = jax.lax.stop_gradient(z.reshape(-1, self.width)), codes.reshape(-1)
        after = revive(accumulate(self.state, *flat, decay=self.decay), *flat, below=self.below)
        penalty = commit(z, chosen, commitment=self.commitment, pull=0.0) + led(self.state, after)
        return Quantised(codes, self.through(z, chosen), penalty)

    def lookup(self, codes: Int[Array, "*n"]) -> Float[Array, "*n C"]:
        """The vectors of codes."""
        return self._vectors()[codes]

    def _vectors(self) -> Float[Array, "V C"]:
        return self.measure(jax.lax.stop_gradient(self.state.vectors()))


def accumulate(before: Averages, latents: Float[Array, "n C"], codes: Int[Array, "n"], *, decay: float) -> Averages:
    """The averages after one more batch: of the latents as they were compared, and the codes they chose."""
    counts = jnp.zeros_like(before.counts).at[codes].add(1.0)
    sums = jnp.zeros_like(before.sums).at[codes].add(latents)
    return jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, before, Averages(counts, sums))


def revive(before: Averages, latents: Float[Array, "n C"], codes: Int[Array, "n"], *, below: float) -> Averages:
    """Dead codes begin again at the latents that their own codes serve worst, each at another one while there are some.

    They count ``below`` entries from then on, so that they are not dead again at once. arXiv:2005.00341, section 3.1,
    draws the latents at random instead.
    """
    dead = before.counts < below
    distance = jnp.square(latents - before.vectors()[codes]).sum(-1)
    worst = latents[jnp.argsort(-distance)]
    chosen = worst[(jnp.cumsum(dead) - 1) % len(worst)]
    return Averages(jnp.where(dead, below, before.counts), jnp.where(dead[:, None], below * chosen, before.sums))


def led(state: Any, after: Any) -> Float[Array, ""]:
    """0, with the gradient state - after for ``state``."""
    way = jax.tree.map(lambda x, y: x * jax.lax.stop_gradient(x - y), state, after)
    term = sum(x.sum() for x in jax.tree.leaves(way))
    return term - jax.lax.stop_gradient(term)
