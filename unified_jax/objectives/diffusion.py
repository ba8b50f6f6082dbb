"""Diffusion: every learned unit is moved to a random level of the path, and an exact network's output is regressed."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from unified_jax.core.noise import Path, TimeSampler, VariancePreserving
from unified_jax.core.noise.times import level
from unified_jax.core.sequence import Interleaved, Payload
from unified_jax.core.types import Array, Float, PRNGKeyArray
from unified_jax.objectives.noising import noised
from unified_jax.objectives.total import Sums
from unified_jax.objectives.weighting import Even

Weighting = Callable[[Path, Array], Array]


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """Mean squared error of the output: noise, data or v (DDPM, arXiv:2006.11239, eq. 14; arXiv:2202.00512, section 4).

    path: shared with the sampler; says what the output means. time: one draw for each unit of a row. weighting: of the
    noise levels (``objectives.weighting``).
    """

    stream: str
    weight: float = 1.0
    path: Path = VariancePreserving()
    time: TimeSampler = level
    weighting: Weighting = Even()

    def corrupt(self, rng: PRNGKeyArray, seq: Interleaved) -> tuple[Interleaved, Float[Array, "B N P"]]:
        """Noises the learned entries; context entries (weight 0) stay clean at time 0."""
        made = noised(rng, seq, stream=self.stream, path=self.path, time=self.time)
        return made.seq, self.path.target(made.clean, made.noise, made.seq.streams[self.stream].time)

    def loss(self, prediction: Float[Array, "B N P"], target: Float[Array, "B N P"], payload: Payload) -> Sums:
        # Some weightings are infinite at the time 0 of context.
        factor = jnp.where(payload.weight > 0, self.weighting(self.path, payload.time), 0.0)
        error = jnp.square(prediction - target).mean(-1) * factor
        return Sums((error * payload.weight).sum(), payload.weight.sum())
