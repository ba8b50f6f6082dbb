"""Recorded: MaskGIT's passes with the noise that a reference drew in the place of ours."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.sampling.confidence import Confident


@dataclasses.dataclass(frozen=True, eq=False)
class Recorded(Confident):
    """The process with given noise, found by the key of the draw.

    keys: [pictures, steps + 1] key data, the first of the start. starts: [pictures, N]. tokens, confidence: Gumbel
    noise [pictures, steps, N V] and [pictures, steps, N].
    """

    keys: Any = None
    starts: Any = None
    tokens: Any = None
    confidence: Any = None

    def start(self, rng, shape):
        """The codes that are known, and masks."""
        return jnp.asarray(self.starts)[self._find(rng)[0]]

    def reverse(self, rng, z, logits, *, t, s):
        """A pass of the reference."""
        at, step = self._find(rng)
        ids, order = jnp.asarray(self.tokens)[at, step - 1], jnp.asarray(self.confidence)[at, step - 1]
        return self.uncover(z, logits, ids=ids, order=order, t=t, s=s)

    def _find(self, rng):
        same = (jnp.asarray(self.keys) == jax.random.key_data(rng)).all(-1)
        return jnp.unravel_index(jnp.argmax(same), same.shape)


def recorded(
    process: Confident, *, starts: np.ndarray, tokens: list[np.ndarray], confidence: list[np.ndarray]
) -> Recorded:
    """The process with the noise of several calls of a reference; the i-th picture draws from ``jax.random.key(i)``.

    starts: [pictures, N]. tokens, confidence: of each call, [steps, pictures of it, ...].
    """
    most = max(len(x) for x in tokens)

    def all_of(noise: list[np.ndarray]) -> np.ndarray:
        by_picture = [x.swapaxes(0, 1) for x in noise]
        padded = [np.pad(x, [(0, 0), (0, most - x.shape[1])] + [(0, 0)] * (x.ndim - 2)) for x in by_picture]
        return np.concatenate(padded)

    drawn = [jax.random.split(jax.random.key(i))[1] for i in range(len(starts))]
    return Recorded(
        **{field.name: getattr(process, field.name) for field in dataclasses.fields(Confident)},
        keys=np.stack([[jax.random.key_data(jax.random.fold_in(key, s)) for s in range(most + 1)] for key in drawn]),
        starts=starts,
        tokens=all_of(tokens),
        confidence=all_of(confidence),
    )
