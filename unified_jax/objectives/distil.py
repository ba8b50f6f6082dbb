"""Distil: latents learn to mean what a vision encoder sees (VA-VAE, arXiv:2501.01423, section 4.2).

places    mean_n relu(1 - near - cos(z_n, f_n))                                (eq. 5)
pairs     mean_mn relu(|cos(z_m, z_n) - cos(f_m, f_n)| - apart)                (eq. 6)
"""

import dataclasses

import jax
import jax.numpy as jnp

from unified_jax.core.alignment import Alignment
from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, Float
from unified_jax.objectives.judged import Beside, picture_mean
from unified_jax.objectives.total import Sums


@dataclasses.dataclass(frozen=True)
class Distil(Beside):
    """places + pairs of every picture. start, layer: as in ``scale.py``, the layer being the encoder's last."""

    stream: str
    weight: float = 0.1
    near: float = 0.5
    apart: float = 0.25
    start: int = 0
    layer: str = ""
    reads: str = "teacher"
    name = "teacher"

    def loss(self, prediction: Alignment, target: None, payload: Payload) -> Sums:
        z, f = _unit(prediction.ours), _unit(prediction.theirs)
        places = jax.nn.relu(1 - self.near - (z * f).sum(-1)).mean(-1)
        among = lambda x: jnp.einsum("bmd,bnd->bmn", x, x)
        pairs = jax.nn.relu(jnp.abs(among(z) - among(f)) - self.apart).mean((1, 2))
        return picture_mean(places + pairs, payload)


def _unit(x: Float[Array, "B N D"]) -> Float[Array, "B N D"]:
    x = x.astype(jnp.float32)
    return x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-12)
