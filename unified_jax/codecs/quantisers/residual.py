"""Residual: several codes an entry, each for what the ones before it left over (RQ-VAE, arXiv:2203.01941, section 3.1).

    r_0 = z      r_(d+1) = r_d - e_(code_d)      vector = sum_d e_(code_d)

Every depth pays its own stage's price, which for ``Nearest`` is the distance of z to the sum so far (eq. 7).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.codecs.quantisers.base import Quantised, Through, straight_through
from unified_jax.core.types import Array, Float, Int


class Residual(nn.Module):
    """Codes [*n depth]. stage: a quantiser that compares latents as they are; built once for each depth."""

    stage: Callable[..., nn.Module]
    depth: int
    through: Through = straight_through

    def setup(self):
        self.stages = [self.stage() for _ in range(self.depth)]

    @property
    def size(self) -> int:
        """How many codes there are at each depth."""
        return self.stage().size

    @property
    def width(self) -> int:
        """C of latents and vectors."""
        return self.stage().width

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
