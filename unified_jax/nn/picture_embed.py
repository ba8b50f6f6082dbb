"""PictureEmbed: patches -> what an encoder's stack reads (ViT, arXiv:2010.11929, section 3.1).

    [class + place_0, registers, patch_1 W + place(1), patch_2 W + place(2), ...]

Rows may hold several pictures (``core/pictures.py``): each has its own class token and registers, and its patches find
their places in the table resized to its grid.
"""

import flax.linen as nn
import jax.numpy as jnp

from unified_jax.core.pictures import Pictures, patchify
from unified_jax.core.sequence import Slots
from unified_jax.core.types import AnyArray, Array, Bool, DTypeLike, Float
from unified_jax.nn.dense import Dense
from unified_jax.nn.encoder import Embedded
from unified_jax.nn.resample import Weights, sample


class PictureEmbed(nn.Module):
    """grid: (rows, columns) of the learned table of places. weights: how it is resized (``nn/resample.py``).

    class_tokens: 1 or 0. registers: further tokens without a place (arXiv:2309.16588). mask_tokens: 1 where patches can
    be hidden behind a learned token, or 0. spare: rows and columns that pictures of the published size have after the
    last whole patch (384 pixels in patches of 14 leave 6), which nothing reads. norm: of everything, None for none.
    """

    width: int
    patch: int
    grid: tuple[int, int]
    weights: Weights
    class_tokens: int = 0
    registers: int = 0
    mask_tokens: int = 0
    spare: int = 0
    use_bias: bool = True
    norm: nn.Module | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, pictures: Pictures | Float[AnyArray, "B H W 3"], hidden: Bool[AnyArray, "B T"] | None = None
    ) -> Embedded:
        """pictures: packed, or pixels of one to a row. hidden: patches to be replaced by the mask token.

        Raises ValueError for hidden patches where there is no mask token, and as ``patchify``.
        """
        if not isinstance(pictures, Pictures):
            pictures = patchify(self._cut(pictures), self.patch)
        batch, length = pictures.doc.shape
        patches = jnp.asarray(pictures.patches).reshape(batch, length, self.patch, self.patch, 3)
        x = Dense(self.width, axes=3, use_bias=self.use_bias, dtype=self.dtype, name="patch")(patches)
        x = self._hide(x, hidden)
        places = self._table("place", (*self.grid, self.width))
        x = x + sample(places, pictures.place, pictures.grid, weights=self.weights).astype(x.dtype)
        leading = self._leading()
        repeated = jnp.broadcast_to(leading[None, None], (batch, pictures.count, *leading.shape))
        x = jnp.concatenate([repeated.reshape(batch, -1, self.width).astype(x.dtype), x], 1)
        read = jnp.broadcast_to(len(leading) * jnp.arange(pictures.count), (batch, pictures.count))
        return Embedded(x if self.norm is None else self.norm(x), slots_of(pictures, len(leading)), read)

    def _cut(self, pixels: Float[AnyArray, "B H W 3"]) -> Float[AnyArray, "B h w 3"]:
        """The picture without ``spare`` rows and columns, where just those are left of whole patches."""
        height, width = (side - self.spare * (side % self.patch == self.spare) for side in pixels.shape[1:3])
        return pixels[:, :height, :width]

    def _hide(self, x: Float[Array, "B T D"], hidden: Bool[AnyArray, "B T"] | None) -> Float[Array, "B T D"]:
        token = self._table("mask_token", (self.mask_tokens, self.width))
        if hidden is None:
            return x
        if not self.mask_tokens:
            raise ValueError("this encoder has no mask token that patches could be hidden behind")
        return jnp.where(hidden[..., None], token[0].astype(x.dtype), x)

    def _leading(self) -> Float[Array, "N D"]:
        """Tokens before the patches of each picture."""
        first = self._table("class_token", (self.class_tokens, self.width))
        place = self._table("class_place", (self.class_tokens, 1, self.width))
        return jnp.concatenate([first + place[:, 0], self._table("registers", (self.registers, self.width))])

    def _table(self, name: str, shape: tuple[int, ...]) -> Array:
        """A learned table; nothing at all where it has no rows."""
        if not shape[0]:
            return jnp.zeros(shape, jnp.float32)
        return self.param(name, nn.initializers.normal(self.width**-0.5), shape, jnp.float32)


def slots_of(pictures: Pictures, leading: int) -> Slots:
    """Slots of the tokens before the patches, ``leading`` for each picture, and of the patches."""
    batch, length = pictures.doc.shape
    before = jnp.repeat(jnp.arange(1, pictures.count + 1, dtype=jnp.int32), leading)
    doc = jnp.concatenate([jnp.broadcast_to(before, (batch, len(before))), jnp.asarray(pictures.doc)], 1)
    place = jnp.concatenate([jnp.zeros((batch, len(before), 2), jnp.int32), jnp.asarray(pictures.place)], 1)
    index = jnp.broadcast_to(jnp.arange(doc.shape[1], dtype=jnp.int32)[:, None], (*doc.shape, 1))
    return Slots(doc, jnp.zeros_like(doc), jnp.zeros(doc.shape, bool), jnp.concatenate([index, place], -1))
