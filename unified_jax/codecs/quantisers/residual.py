"""Residual: several codes an entry, each for what the ones before it left over (RQ-VAE, arXiv:2203.01941, section 3.1).

    r_0 = z      r_(d+1) = r_d - e_(code_d)      vector = sum_d e_(code_d)

Every depth pays its own stage's price, which for ``Nearest`` is the distance of z to the sum so far (eq. 7).
"""

import jax
import jax.numpy as jnp

from unified_jax.codecs.quantisers.base import Quantised, Staged, Through, straight_through
from unified_jax.core.types import Array, Float, Int


class Residual(Staged):
    """Codes [*n depth]. stage: built once for each depth."""

    depth: int
    through: Through = straight_through

    def setup(self):
        self.stages = [self.stage() for _ in range(self.depth)]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the codes of one entry."""
        return (self.depth,)

    def __call__(self, latents: Float[Array, "*n C"]) -> Quantised:
        z = latents.astype(jnp.float32)
        total, penalty, codes = jnp.zeros_like(z), 0.0, []
        for stage in self.stages:
            found = stage(z - total)
            # A stage's own gradient is for its penalty; what is reconstructed passes its gradient on once, below.
            total = total + jax.lax.stop_gradient(found.vectors)
            penalty = penalty + found.penalty
            codes.append(found.codes)
        return Quantised(jnp.stack(codes, -1), self.through(z, total), penalty)

    def lookup(self, codes: Int[Array, "*n R"]) -> Float[Array, "*n C"]:
        """The sums of the vectors of codes."""
        return sum(stage.lookup(codes[..., depth]) for depth, stage in enumerate(self.stages))
