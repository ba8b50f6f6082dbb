"""Masked diffusion: vectors of a picture that are not there are denoised, each by itself, given the others (MAR,
arXiv:2406.11838, sections 3.3 and 4.1).
"""

import dataclasses

import jax

from unified_jax.core.hiding import hide
from unified_jax.core.noise import TimeSampler, VariancePreserving
from unified_jax.core.noise.times import level
from unified_jax.core.sequence import Draft, Interleaved, Payload
from unified_jax.core.types import Array, Float, PRNGKeyArray
from unified_jax.objectives.learned_variance import Target, squared_and_bound
from unified_jax.objectives.total import Sums
from unified_jax.objectives.units import some_of, unit_draw


def mostly(rng: PRNGKeyArray, shape: tuple[int, ...], *, least: float = 0.7, std: float = 0.25) -> Float[Array, "..."]:
    """Shares that are hidden: from a normal distribution around 1, cut off at ``least`` and at 1."""
    return 1 + std * jax.random.truncated_normal(rng, (least - 1) / std, 0.0, shape)


@dataclasses.dataclass(frozen=True)
class MaskedDiffusion:
    """The error of ``LearnedVariance`` of drafts that the head alone sees, averaged over the hidden entries.

    share: that is hidden, one draw for each picture. path, time, bound: as there; every entry has a time of its own.
    """

    stream: str
    path: VariancePreserving
    weight: float = 1.0
    share: TimeSampler = mostly
    time: TimeSampler = level
    bound: float = 0.001

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Target]:
        """Hides entries, takes the loss weight from those that stay, and gives all of them drafts."""
        payload, shape = seq.streams[self.stream], seq.streams[self.stream].slot.shape
        share_rng, order_rng, time_rng, noise_rng = jax.random.split(rng, 4)
        hidden = some_of(order_rng, payload, share=unit_draw(share_rng, payload, self.share))
        time, noise = self.time(time_rng, shape), jax.random.normal(noise_rng, payload.values.shape)
        draft = Draft(self.path.corrupt(payload.values, noise, time), time)
        shown = hide(seq, self.stream, hidden=hidden).put(self.stream, draft=draft, weight=payload.weight * hidden)
        return shown, Target(self.path.target(payload.values, noise, time), payload.values)

    def loss(self, prediction: Float[Array, "B N P2"], target: Target, payload: Payload) -> Sums:
        draft = payload.draft
        error = squared_and_bound(self.path, prediction, target, x_t=draft.values, t=draft.time, bound=self.bound)
        return Sums((error * payload.weight).sum(), payload.weight.sum())
