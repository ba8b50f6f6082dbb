"""Vector-quantised codec: pixels -> a grid of integer codes -> pixels (VQ-VAE, arXiv:1711.00937; VQGAN 2012.09841).

    z = unit(encode(x))      code = argmax_k z . unit(e_k)      x' = decode(unit(e_code))

Codes and latents are compared on the unit sphere of few dimensions (ViT-VQGAN, arXiv:2110.04627, section 3.2). The
gradient passes the choice straight through, and each entry is charged

    mean_C |unit(e) - sg(z)|^2 + commitment * mean_C |sg(unit(e)) - z|^2 - entropy * KL(p(code | z) || p(code))

with p(code | z) = softmax(z . unit(e) / temperature) and p(code) its mean over the batch. Averaged over entries the
last term is minus the information that a code carries about its entry, H(code | z) - H(code): MAGVIT-v2's entropy
penalty (arXiv:2310.05737, section 3.1). It is the remedy against dead codes here because every code, chosen or not,
gets a gradient towards the data; restarts and moving averages do the same with state that outlives the step, which a
pure function of (parameters, batch) has no place for. Lightly weighted: it also pays a code for telling where in the
picture its entry is, which spends the codebook on the many empty places.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from unified_jax.codecs.base import whole_grid
from unified_jax.codecs.ladder import Decoder, Encoder
from unified_jax.codecs.patch import Patches
from unified_jax.core.types import AnyArray, Array, DTypeLike, Float, Int, Leaf, PRNGKeyArray
from unified_jax.nn.conv import Attention, GroupNorm
from unified_jax.nn.dense import Dense
from unified_jax.nn.norm import RMSNorm

MOST_AT_ONCE = 256  # pictures in one call of the network; larger batches go through in turns, to bound memory


@struct.dataclass
class Quantised:
    """codes: int32 [...]. vectors: float [... C], the chosen unit vectors, with the gradient of the latents they
    replace. penalty: float32 [...].
    """

    codes: Leaf
    vectors: Leaf
    penalty: Leaf


class Quantiser(nn.Module):
    """The nearest of ``size`` unit vectors of ``width`` dimensions. The file's equation defines the three weights."""

    size: int
    width: int
    commitment: float = 0.25
    entropy: float = 0.001
    temperature: float = 0.05

    def setup(self):
        self.codebook = self.param("codebook", nn.initializers.normal(1.0), (self.size, self.width), jnp.float32)

    def __call__(self, latents: Float[Array, "*n C"]) -> Quantised:
        z, vectors = unit(latents.astype(jnp.float32)), unit(self.codebook)
        scores = z.reshape(-1, self.width) @ vectors.T
        codes = jnp.argmax(scores, -1).reshape(z.shape[:-1]).astype(jnp.int32)
        chosen, fixed = vectors[codes], jax.lax.stop_gradient
        distance = jnp.square(chosen - fixed(z)) + self.commitment * jnp.square(fixed(chosen) - z)
        information = _information(scores / self.temperature).reshape(codes.shape)
        penalty = distance.mean(-1) - self.entropy * information
        return Quantised(codes, z + fixed(chosen - z), penalty)

    def lookup(self, codes: Int[Array, "*n"]) -> Float[Array, "*n C"]:
        """The unit vectors of codes."""
        return unit(self.codebook)[codes]


class VectorQuantised(nn.Module):
    """Encoder, codebook and decoder.

    patch: side of the squares that enter as one place of the first grid; 1 is VQGAN, where every pixel does. More is
      far cheaper at the same downsampling, since the widest grids cost most: a space-to-depth move, exact both ways.
    width, multipliers, depth: sizes of both networks (see ``Encoder``); depth is ResBlocks at each level.
    codes, code_dim: the codebook.
    groups: of GroupNorm, which must divide every width; None normalises each place by itself (RMSNorm). attention:
      how many layers at the coarsest grid. Both are off by default, and differ from VQGAN in that: they tell every
      place of the whole picture, so that even an empty one gets codes that differ with its neighbours.
    """

    patch: int = 2
    width: int = 32
    multipliers: Sequence[int] = (1, 2)
    depth: int = 1
    codes: int = 512
    code_dim: int = 8
    groups: int | None = None
    attention: int = 0
    commitment: float = 0.25
    entropy: float = 0.001
    dtype: DTypeLike = jnp.float32

    def __post_init__(self):
        self.multipliers = tuple(self.multipliers)  # a config read from JSON has lists, which cannot be hashed
        super().__post_init__()

    def setup(self):
        norm = RMSNorm if self.groups is None else partial(GroupNorm, self.groups)
        sizes = dict(widths=tuple(self.width * m for m in self.multipliers), depth=self.depth, norm=norm)
        sizes |= dict(middle=(Attention,) * self.attention, dtype=self.dtype)
        self.encoder = Encoder(**sizes)
        self.to_code = Dense(self.code_dim, use_bias=True, dtype=self.dtype)
        self.quantiser = Quantiser(self.codes, self.code_dim, self.commitment, self.entropy)
        self.decoder = Decoder(out=3 * self.patch**2, **sizes)

    @property
    def factor(self) -> int:
        """Pixels per code, along a side."""
        return self.patch * 2 ** (len(self.multipliers) - 1)

    def __call__(self, pixels: Float[Array, "B H W 3"]) -> tuple[Float[Array, "B H W 3"], Quantised]:
        """Pixels in [-1, 1] -> their reconstruction, and what the codebook made of them, [B h w ...]."""
        quantised = self._quantise(pixels)
        return self._decode(quantised.vectors), quantised

    def encode(self, pixels: Float[Array, "B H W 3"]) -> Int[Array, "B h w"]:
        """Pixels in [-1, 1] -> codes."""
        return self._quantise(pixels).codes

    def decode(self, codes: Int[Array, "B h w"]) -> Float[Array, "B H W 3"]:
        """Codes -> pixels, nominally in [-1, 1]."""
        return self._decode(self.quantiser.lookup(codes))

    def _quantise(self, pixels: Float[Array, "B H W 3"]) -> Quantised:
        whole_grid(*pixels.shape[1:3], self.factor)
        return self.quantiser(self.to_code(self.encoder(Patches(self.patch).encode({}, pixels))))

    def _decode(self, vectors: Float[Array, "B h w C"]) -> Float[Array, "B H W 3"]:
        return Patches(self.patch).decode({}, self.decoder(vectors).astype(jnp.float32))


@dataclasses.dataclass(frozen=True)
class VqCodec:
    """The ``Codec`` of a VectorQuantised module; ``params`` is the module's own tree. For host code: numpy in and out.

    Any number of pictures: batches are padded to a power of two, so that few shapes compile.
    """

    module: VectorQuantised
    shape = ()
    dtype = np.int32

    def grid(self, height: int, width: int) -> tuple[int, int]:
        return whole_grid(height, width, self.module.factor)

    def init(self, rng: PRNGKeyArray) -> dict[str, Any]:
        return self.module.init(rng, jnp.zeros((1, self.module.factor, self.module.factor, 3)))["params"]

    def encode(self, params: Mapping[str, Any], pixels: Float[AnyArray, "B H W 3"]) -> Int[np.ndarray, "B h w"]:
        """Raises ValueError when the pictures do not divide into whole codes, or there are no parameters."""
        self.grid(*pixels.shape[1:3])
        return _in_turns(partial(_encode, self.module, _checked(params)), np.asarray(pixels, np.float32))

    def decode(self, params: Mapping[str, Any], values: Int[AnyArray, "B h w"]) -> Float[np.ndarray, "B H W 3"]:
        """Raises ValueError for codes outside the codebook, or when there are no parameters."""
        values = np.asarray(values, np.int32)
        if values.size and not 0 <= values.min() <= values.max() < self.module.codes:
            raise ValueError(f"codes must lie in 0 to {self.module.codes - 1}, found {values.min()} to {values.max()}")
        return _in_turns(partial(_decode, self.module, _checked(params)), values)


@struct.dataclass
class CodebookUse:
    """usage: fraction of the codes that occur. perplexity: exp of the entropy of their frequencies, 1 to size."""

    usage: Leaf
    perplexity: Leaf


def codebook_use(codes: Int[Array, "n"], *, size: int) -> CodebookUse:
    """How evenly a codebook of ``size`` is used by a sample of codes."""
    counts = jnp.bincount(codes, length=size)
    p = counts / counts.sum()
    return CodebookUse((counts > 0).mean(), jnp.exp(-jax.scipy.special.xlogy(p, p).sum()))


def unit(x: Float[Array, "*n C"]) -> Float[Array, "*n C"]:
    """x / |x| along the last axis."""
    return x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + 1e-12)


def _information(logits: Float[Array, "n V"]) -> Float[Array, "n"]:
    """KL(p(code | entry) || p(code)): what each entry's code tells of it, in nats."""
    log_p = jax.nn.log_softmax(logits)
    log_mean = jax.nn.logsumexp(log_p, 0) - jnp.log(len(logits))
    return (jnp.exp(log_p) * (log_p - log_mean)).sum(-1)


@partial(jax.jit, static_argnums=0)
def _encode(module: VectorQuantised, params: Mapping[str, Any], pixels: Array) -> Array:
    return module.apply({"params": params}, pixels, method="encode")


@partial(jax.jit, static_argnums=0)
def _decode(module: VectorQuantised, params: Mapping[str, Any], codes: Array) -> Array:
    return module.apply({"params": params}, codes, method="decode")


def _checked(params: Mapping[str, Any]) -> Mapping[str, Any]:
    if not params:
        raise ValueError('this codec has weights: give a parameter tree that holds them under "codec"')
    return params


def _in_turns(run: Callable[[np.ndarray], Array], batch: np.ndarray) -> np.ndarray:
    """``run`` over a batch of any size, in turns that are padded to a power of two."""
    done = []
    for start in range(0, max(len(batch), 1), MOST_AT_ONCE):
        part = batch[start : start + MOST_AT_ONCE]
        spare = (1 << max(0, len(part) - 1).bit_length()) - len(part)
        padded = np.pad(part, [(0, spare)] + [(0, 0)] * (part.ndim - 1))
        done.append(np.asarray(run(padded))[: len(part)])
    return np.concatenate(done)
