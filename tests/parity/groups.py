"""Recorded runs of MAR's sampling loop: which entries it drew in which step, and its draws in the place of ours."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest


def masks_of(orders: np.ndarray, steps: int) -> list[np.ndarray]:
    """Which entries are hidden before every step, and after the last, as the README of the data says."""
    count, left, masks = orders.shape[1], orders.shape[1], []
    for step in range(steps + 1):
        mask = np.zeros(orders.shape, bool)
        np.put_along_axis(mask, orders[:, :left], True, axis=1)
        masks.append(mask)
        left = max(1, min(left - 1, int(np.floor(count * np.cos(np.pi / 2 * (step + 1) / steps)))))
        left = 0 if step == steps - 1 else left
    return masks


def replay(
    patch: pytest.MonkeyPatch,
    want: Mapping[str, np.ndarray],
    *,
    keys: jax.Array,
    masks: Sequence[np.ndarray],
) -> None:
    """Puts the draws of the reference in the place of ours.

    want: orders [picture, slot], and by step, picture and slot start_noise [token, C] and step_noise [token, time, C].
    keys: of the pictures. masks: as of ``masks_of``.
    """
    drawn = [np.argwhere(before & ~after) for before, after in zip(masks, masks[1:])]
    noise = np.concatenate([want["start_noise"][:, None], want["step_noise"]], 1)
    table = np.zeros((*masks[0].shape, *noise.shape[1:]), np.float32)
    table[tuple(np.concatenate(drawn).T)] = noise
    fold, data = jax.random.fold_in, jax.random.key_data
    of_times = lambda key: jax.vmap(lambda time: data(fold(key, time)))(jnp.arange(table.shape[2]))
    of_slots = lambda key: jax.vmap(lambda slot: of_times(fold(fold(key, 1), slot)))(jnp.arange(table.shape[1]))
    known, first, orders = jax.vmap(of_slots)(keys), jax.vmap(lambda key: data(fold(key, 0)))(keys), want["orders"]
    same = lambda known, key: (known == data(key)).all(-1)
    normal = lambda key, shape: jnp.einsum("pin,pinc->c", same(known, key).astype(jnp.float32), jnp.asarray(table))
    patch.setattr(jax.random, "normal", normal)
    patch.setattr(jax.random, "permutation", lambda key, n: jnp.asarray(orders)[jnp.argmax(same(first, key))])
