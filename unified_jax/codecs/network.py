"""The ``Codec`` of a Linen module, for host code: numpy in and out, batches of any size in turns.

NetworkCodec    entries are codes          encode, decode of the module
LatentCodec     entries are latents        (latents(pixels) - mean) / std, and draw of the inverse
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.codecs.base import whole_grid
from unified_jax.core.types import AnyArray, Array, Float, PRNGKeyArray, Shaped

PIXELS_AT_ONCE = 2**18  # in one call of the network, or else one picture; larger batches go through in turns


@dataclasses.dataclass(frozen=True)
class NetworkCodec:
    """The codec of a module that has ``encode``, ``decode``, ``factor`` (pixels per entry along a side), ``shape`` (of
    an entry) and ``codes`` where entries are integers; published discrete ones included. ``params`` is the module's
    own tree.

    dtype: of an entry. Each turn is padded to a power of two pictures, so that few shapes compile.
    """

    module: nn.Module
    dtype: Any = np.int32

    @property
    def shape(self) -> tuple[int, ...]:
        return self.module.shape

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return whole_grid(height, width, self.module.factor)

    def entries(self, height: int, width: int) -> tuple[int, ...]:
        """Shape of a picture's values; ValueError when the size does not fit the codec."""
        return (*self.grid(height, width), *self.shape)

    def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
        return _init(self.module, "__call__", rng)

    def encode(
        self, params: Mapping[str, Any], pixels: Float[AnyArray, "B H W 3"], *, rng: PRNGKeyArray | None = None
    ) -> Shaped[np.ndarray, "B ..."]:
        """Raises ValueError when the pictures do not divide into whole entries, there are no parameters, or the module
        makes other entries than one of ``shape`` at each place.
        """
        wanted = (len(pixels), *self.entries(*pixels.shape[1:3]))
        run = partial(_run, self.module, "encode", _checked(params))
        values = _in_turns(run, np.asarray(pixels, np.float32), pixels=pixels.shape[1] * pixels.shape[2], rng=rng)
        if values.shape != wanted:
            raise ValueError(f"this codec makes values of shape {values.shape}, where {wanted} is needed")
        return values

    def decode(self, params: Mapping[str, Any], values: Shaped[AnyArray, "B ..."]) -> Float[np.ndarray, "B H W 3"]:
        """Raises ValueError for codes outside the codebook, or when there are no parameters."""
        values = np.asarray(values, self.dtype)
        if values.size and values.dtype.kind == "i" and not 0 <= values.min() <= values.max() < self.module.codes:
            raise ValueError(f"codes must lie in 0 to {self.module.codes - 1}, found {values.min()} to {values.max()}")
        run = partial(_run, self.module, "decode", _checked(params))
        return _in_turns(run, values, pixels=math.prod(values.shape[1:3]) * self.module.factor**2)


@dataclasses.dataclass(frozen=True)
class LatentCodec(NetworkCodec):
    """The codec of a module that has ``latents``, ``draw``, ``factor``, ``channels`` and ``scale``: entries are its
    latents, the most probable ones or drawn, as published pipelines standardise them for denoisers. Codecs of video are
    given pictures.
    """

    dtype: Any = np.float32

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.module.channels,)

    def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
        return _init(self.module, _both_ways, rng)

    def encode(
        self, params: Mapping[str, Any], pixels: Float[AnyArray, "B H W 3"], *, rng: PRNGKeyArray | None = None
    ) -> Float[np.ndarray, "B h w C"]:
        """Raises ValueError when the pictures do not divide into whole latents, or when there are no parameters."""
        self.grid(*pixels.shape[1:3])
        run = partial(_run, self.module, "latents", _checked(params))
        latents = _in_turns(run, np.asarray(pixels, np.float32), pixels=pixels.shape[1] * pixels.shape[2], rng=rng)
        return np.asarray(self.module.scale.standardise(latents))

    def decode(self, params: Mapping[str, Any], values: Float[AnyArray, "B h w C"]) -> Float[np.ndarray, "B H W 3"]:
        """Raises ValueError when there are no parameters."""
        latents = np.asarray(self.module.scale.restore(np.asarray(values, np.float32)))
        run = partial(_run, self.module, "draw", _checked(params))
        return _in_turns(run, latents, pixels=values.shape[1] * values.shape[2] * self.module.factor**2)


@partial(jax.jit, static_argnums=(0, 1))
def _init(module: nn.Module, method: str | Callable[..., Any], rng: PRNGKeyArray) -> dict[str, Any]:
    return module.init(rng, jnp.zeros((1, module.factor, module.factor, 3)), method=method)["params"]


def _both_ways(module: nn.Module, pixels: Array) -> Array:
    return module.draw(module.latents(pixels))


@partial(jax.jit, static_argnums=(0, 1))
def _run(
    module: nn.Module, method: str, params: Mapping[str, Any], x: Array, rngs: Mapping[str, PRNGKeyArray]
) -> Array:
    return module.apply({"params": params}, x, method=method, rngs=rngs)


def _checked(params: Mapping[str, Any]) -> Mapping[str, Any]:
    if not params:
        raise ValueError('this codec has weights: give a parameter tree that holds them under "codec"')
    return params


def _in_turns(
    run: Callable[..., Array], batch: np.ndarray, *, pixels: int, rng: PRNGKeyArray | None = None
) -> np.ndarray:
    """``run`` over a batch of any size, in turns that are padded to a power of two. pixels: of one picture. rng: each
    turn draws from a fold of it.
    """
    most = 1 << max(0, (PIXELS_AT_ONCE // pixels).bit_length() - 1)
    done = []
    for start in range(0, max(len(batch), 1), most):
        part = batch[start : start + most]
        spare = (1 << max(0, len(part) - 1).bit_length()) - len(part)
        padded = np.pad(part, [(0, spare)] + [(0, 0)] * (part.ndim - 1))
        rngs = {} if rng is None else {"sample": jax.random.fold_in(rng, start)}
        done.append(np.asarray(run(padded, rngs))[: len(part)])
    return np.concatenate(done)
