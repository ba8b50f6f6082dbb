"""Judges: networks that train beside an autoencoder and say of its pictures or latents what an objective needs.

A judge is called with the pixels, in [-1, 1], and what was made of them. Nothing of it is saved with the codec.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.codecs.quantisers.moving import led
from unified_jax.codecs.representation import MEAN, STD
from unified_jax.core.alignment import Alignment
from unified_jax.core.types import Array, Float, Leaf
from unified_jax.core.verdict import Verdict
from unified_jax.nn.dense import Dense
from unified_jax.nn.grid_features import GridFeatures


@struct.dataclass
class Made:
    """pixels: float32 [B H W 3], decoded. latents: [B h w C], what they were decoded from."""

    pixels: Leaf
    latents: Leaf


class Perceptual(nn.Module):
    """network: pictures, pictures -> the distance of each pair (``models/perceptual``)."""

    network: nn.Module

    def __call__(self, pixels: Float[Array, "B H W 3"], made: Made) -> Float[Array, "B"]:
        return fixed(self.network, pixels, made.pixels)


class Critic(nn.Module):
    """network: pictures -> scores of patches (``nn/critic.py``). decay: of the averages of its scores, LeCam's."""

    network: nn.Module
    decay: float = 0.99

    @nn.compact
    def __call__(self, pixels: Float[Array, "B H W 3"], made: Made) -> Verdict:
        real, told = self.network(pixels), self.network(jax.lax.stop_gradient(made.pixels))
        fooled = fixed(self.network, made.pixels)
        usual = self.param("usual", nn.initializers.zeros, (2,), jnp.float32)
        now = jnp.stack([real.mean(), told.mean()])
        upkeep = led(usual, self.decay * usual + (1 - self.decay) * now)
        return Verdict(real, told, fooled, self._slope(pixels), usual[0], usual[1], upkeep)

    def _slope(self, pixels: Float[Array, "B H W 3"]) -> Float[Array, "B"]:
        network, variables = self.network.unbind()
        slope = jax.grad(lambda x: network.apply(variables, x).sum())(pixels)
        return jnp.square(slope).sum((1, 2, 3))


class Teacher(nn.Module):
    """network: pictures -> features on the grid of the latents."""

    network: GridFeatures

    @nn.compact
    def __call__(self, pixels: Float[Array, "B H W 3"], made: Made) -> Alignment:
        """Raises ValueError where the grids differ."""
        theirs = jax.lax.stop_gradient(self.network(((pixels + 1) / 2 - jnp.asarray(MEAN)) / jnp.asarray(STD)))
        if theirs.shape[:3] != made.latents.shape[:3]:
            raise ValueError(f"a teacher's grid must be that of the latents {made.latents.shape}, found {theirs.shape}")
        ours = Dense(theirs.shape[-1], name="project")(made.latents)
        flat = lambda x: x.reshape(len(x), -1, x.shape[-1]).astype(jnp.float32)
        return Alignment(flat(ours), flat(theirs))


def fixed(module: nn.Module, *inputs: Any) -> Any:
    """What the module gives, its parameters without a gradient."""
    if module.is_initializing():
        return module(*inputs)
    hold = lambda variables: jax.lax.stop_gradient(variables)
    return nn.map_variables(lambda m, *x: m(*x), "params", hold)(module, *inputs)
