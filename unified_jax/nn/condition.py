"""What a denoiser is told beside the noised latents, and the pieces that make one vector of it.

condition = embed(time) + embed(label) + embed(pooled) + ...            each piece: Told -> [B E]
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from unified_jax.core.types import Array, Float, Leaf
from unified_jax.nn.embed import sincos
from unified_jax.nn.mlp import Mlp

WAVES = 256  # sines and cosines of a number, in every published denoiser


@struct.dataclass
class Told:
    """One row for each picture; what a denoiser does not read may be None.

    time: float [B], noise level, 0 = clean, 1 = noise. label: int [B], class. text: float [B S E], states of a text
      encoder. mask: bool [B S], False where those are padding; None for none.
    pooled: float [B E], one vector of the text. size: float [B 2], height and width of the picture in pixels.
    guidance: float [B], the scale of guidance that a distilled network imitates. length: float [B], how far back in
      time the average velocity leads that is asked for, 0 for the velocity itself.
    """

    time: Leaf
    label: Leaf = None
    text: Leaf = None
    mask: Leaf = None
    pooled: Leaf = None
    size: Leaf = None
    guidance: Leaf = None
    length: Leaf = None

    def read(self, field: str) -> Array:
        """The field. Raises ValueError where it is not given."""
        if getattr(self, field) is None:
            raise ValueError(f"this denoiser reads {field!r} of what it is told, which is not given")
        return jnp.asarray(getattr(self, field))


def thousandth(time: Float[Array, "B"]) -> Float[Array, "B"]:
    """What flows are told: the time in thousandths."""
    return 1000.0 * time


def level(time: Float[Array, "B"]) -> Float[Array, "B"]:
    """What diffusions of 1000 levels are told: level i is the time (i + 1) / 1000 (``VariancePreserving``)."""
    return 1000.0 * time - 1.0


class TimeEmbed(nn.Module):
    """Two affine maps of sines and cosines of the time (DiT, arXiv:2212.09748, section 3.2), or of another field.

    steps: time -> the number whose sines are taken. ends: as in ``sincos``.
    """

    width: int
    steps: Callable[[Array], Array] = thousandth
    ends: int = 0
    field: str = "time"

    @nn.compact
    def __call__(self, told: Told) -> Float[Array, "B E"]:
        waves = sincos(self.steps(told.read(self.field)), WAVES, scale=1.0, ends=self.ends)
        return Mlp(self.width, jax.nn.silu, features=self.width, name="mlp")(waves)


class LabelEmbed(nn.Module):
    """A row of a table for each class, and a last one for none (null-label guidance, arXiv:2212.09748, section 3.3)."""

    classes: int
    width: int

    @nn.compact
    def __call__(self, told: Told) -> Float[Array, "B E"]:
        table = self.param("table", nn.initializers.normal(0.02), (self.classes + 1, self.width), jnp.float32)
        return table[told.read("label")]


class PooledEmbed(nn.Module):
    """Two affine maps of the text's one vector (SD3, arXiv:2403.03206, section 4)."""

    width: int

    @nn.compact
    def __call__(self, told: Told) -> Float[Array, "B E"]:
        pooled = told.read("pooled").astype(jnp.float32)
        return Mlp(self.width, jax.nn.silu, features=self.width, name="mlp")(pooled)


class SizeEmbed(nn.Module):
    """Height, width and their ratio, a third of the vector each (PixArt-alpha, arXiv:2310.00426, section 2.3)."""

    width: int

    @nn.compact
    def __call__(self, told: Told) -> Float[Array, "B E"]:
        size = told.read("size").astype(jnp.float32)
        embed = lambda name, x: Mlp(self.width // 3, jax.nn.silu, features=self.width // 3, name=name)(
            sincos(x, WAVES, scale=1.0)
        )
        sides = embed("side", size).reshape(size.shape[0], -1)
        return jnp.concatenate([sides, embed("ratio", size[:, 0] / size[:, 1])], -1)
