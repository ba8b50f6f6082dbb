"""Masked tokens: some entries of every learned unit are hidden, and the hidden ones are predicted from the rest."""

import dataclasses

import jax
import jax.numpy as jnp

from unified_jax.core.masking import Ratio, cosine
from unified_jax.core.noise import TimeSampler, uniform
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, Int, PRNGKeyArray
from unified_jax.objectives.cross_entropy import cross_entropy
from unified_jax.objectives.total import Sums
from unified_jax.objectives.units import some_of, unit_draw


@dataclasses.dataclass(frozen=True)
class Masked:
    """-log p(values | shown), averaged over the hidden entries (MaskGIT, arXiv:2202.04200, eq. 1; Show-o,
    arXiv:2408.12528, eq. 3).

    mask: the id that hides one. ratio, time: the share that is hidden, at one time for each unit; of n entries
    ceil(ratio n) are hidden, so at least one is.
    """

    stream: str
    mask: int
    weight: float = 1.0
    ratio: Ratio = cosine
    time: TimeSampler = uniform

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Int[Array, "B N"]]:
        """Hides entries, and takes the loss weight from those that stay visible."""
        payload = seq.streams[self.stream]
        time_rng, order_rng = jax.random.split(rng)
        time = unit_draw(time_rng, payload, self.time)
        hidden = some_of(order_rng, payload, share=self.ratio(time))
        shown = jnp.where(hidden, self.mask, payload.values)
        return seq.put(self.stream, values=shown, time=time, weight=payload.weight * hidden), payload.values

    def loss(self, prediction: Float[Array, "B N V"], target: Int[Array, "B N"], payload: Payload) -> Sums:
        return cross_entropy(prediction, target, weight=payload.weight)
