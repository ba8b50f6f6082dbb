"""Weightings of a diffusion loss: how much each noise level counts, as factors of the squared error of the output.

The papers state them by what an error of the data or of the noise counts; an error of anything else is first turned
into one of the data (``core.noise.prediction.gain``). SNR is (alpha / sigma)^2: a squared error of the noise is so many
times that of the data.
"""

import dataclasses

import jax.numpy as jnp

from unified_jax.core.noise import Path
from unified_jax.core.noise.prediction import CLEAN, gain
from unified_jax.core.types import Array, Float


@dataclasses.dataclass(frozen=True)
class Even:
    """Every error of the output counts alike: for noise, the simple loss of DDPM (arXiv:2006.11239, eq. 14)."""

    def __call__(self, path: Path, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return jnp.ones_like(t)


@dataclasses.dataclass(frozen=True)
class MinSnr:
    """An error of the data counts min(SNR, most) (arXiv:2303.09556, eq. 7)."""

    most: float = 5.0

    def __call__(self, path: Path, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        return jnp.minimum(path.at(t).ratio ** -2.0, self.most) * _data_error(path, t)


@dataclasses.dataclass(frozen=True)
class P2:
    """An error of the noise counts 1 / (k + SNR)^gamma (arXiv:2204.00227, eq. 8)."""

    k: float = 1.0
    gamma: float = 1.0

    def __call__(self, path: Path, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
        snr = path.at(t).ratio ** -2.0
        return snr * (self.k + snr) ** -self.gamma * _data_error(path, t)


def _data_error(path: Path, t: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """The squared error of the data for each of the output."""
    return jnp.square(gain(path.at(t), source=path.output, to=CLEAN))
