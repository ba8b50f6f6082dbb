"""Denoiser: noised latents, and what is told of them, -> what the network predicts; the assembly all families share.

    image = embed(latents),  text = text(told.text),  condition = sum of pieces(told)
    out(norm(backbone(image, text; condition).image, condition))

The backbone is a ``Stack``, or anything like one, over the lanes ``image`` and, where text is read, ``text``.
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from unified_jax.core.sequence import Slots, join
from unified_jax.core.types import AnyArray, Array, Bool, DTypeLike, Float, Int
from unified_jax.nn.condition import Told
from unified_jax.nn.dense import Dense
from unified_jax.nn.patches import from_patches, to_patches
from unified_jax.nn.places import Grid

Positions = Callable[[Grid, Bool[Array, "B S"]], tuple[Array, Array]]  # of the picture's slots and of the text's


def in_order(grid: Grid, mask: Bool[Array, "B S"]) -> tuple[Int[Array, "B T A"], Int[Array, "B S A"]]:
    """(index, row, column) of patches in reading order; (index, 0, 0) of the text."""
    index = np.arange(grid[0] * grid[1])
    image = np.stack([index, index // grid[1], index % grid[1]], -1)
    text = np.arange(mask.shape[1])[:, None] * np.array([1, 0, 0])
    return tuple(jnp.broadcast_to(jnp.asarray(x, jnp.int32), (mask.shape[0], *x.shape)) for x in (image, text))


class PatchEmbed(nn.Module):
    """[B H W C] -> [B N D]: one affine map of every patch, plus its place.

    places: (grid, width) -> [rows, columns, width] to be added, None for none.
    """

    width: int
    patch: int
    places: nn.Module | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, latents: Float[AnyArray, "B H W C"]) -> Float[Array, "B N D"]:
        patches = jnp.asarray(to_patches(latents, (self.patch, self.patch)))
        x = Dense(self.width, axes=3, use_bias=True, dtype=self.dtype, name="in")(patches)
        if self.places is None:
            return x
        grid = (latents.shape[1] // self.patch, latents.shape[2] // self.patch)
        return x + self.places(grid, self.width).reshape(1, -1, self.width).astype(x.dtype)


class TextIn(nn.Module):
    """States of a text encoder -> those of the text's lane. norm: before the map, None for none."""

    project: nn.Module
    norm: nn.Module | None = None

    def __call__(self, text: Float[Array, "B S E"]) -> Float[Array, "B S D"]:
        return self.project(text if self.norm is None else self.norm(text))


class Denoiser(nn.Module):
    """One picture to a row, every slot seen by every other.

    embed: latents -> states. condition: pieces of ``nn/condition.py``, by name. text: states of a text encoder -> those
    of the lane; None where no text is read. norm: adaptive, of the last states. channels: predicted for each place of
    the latents. positions: of slots. finish: of what is predicted (a sign).
    """

    embed: PatchEmbed
    condition: Mapping[str, nn.Module]
    text: nn.Module | None
    backbone: nn.Module
    norm: nn.Module
    channels: int
    positions: Positions = in_order
    finish: Callable[[Array], Array] | None = None

    @nn.compact
    def __call__(self, latents: Float[AnyArray, "B H W C"], told: Told) -> Float[Array, "B H W c"]:
        """Float32. A flow's network predicts the velocity (noise - data), a diffusion's the noise; further channels,
        where there are any, are of a learned variance.

        Raises ValueError for latents that are not whole patches, and for what is read and not told.
        """
        patch = self.embed.patch
        grid = (latents.shape[1] // patch, latents.shape[2] // patch)
        condition = sum(piece(told) for _, piece in sorted(self.condition.items()))[:, None]
        xs = {"image": self.embed(latents)}
        if self.text is not None:
            xs["text"] = self.text(told.read("text"))
        slots = self._slots(grid, {lane: x.shape[:2] for lane, x in xs.items()}, told)
        xs, _ = self.backbone(xs, slots=join(slots), condition=dict.fromkeys(xs, condition))
        x = self.norm(xs["image"], condition).states.astype(jnp.float32)
        y = from_patches(Dense((patch, patch, self.channels), use_bias=True, name="out")(x), grid)
        return y if self.finish is None else self.finish(y)

    def _slots(self, grid: Grid, shapes: Mapping[str, tuple[int, int]], told: Told) -> dict[str, Slots]:
        """Of every lane: one document to a row, one block, without the padding of the text."""
        real = {lane: jnp.ones(shape, bool) for lane, shape in shapes.items()}
        if "text" in shapes and told.mask is not None:
            real["text"] = jnp.asarray(told.mask, bool)
        image, text = self.positions(grid, real.get("text", jnp.ones((shapes["image"][0], 0), bool)))
        pos = {"image": image, "text": text}
        return {lane: _in_one_block(real[lane], pos[lane]) for lane in shapes}


def _in_one_block(real: Bool[Array, "B T"], pos: Int[Array, "B T A"]) -> Slots:
    doc = real.astype(jnp.int32)
    return Slots(doc=doc, block=jnp.zeros_like(doc), private=jnp.zeros_like(real), pos=pos)
