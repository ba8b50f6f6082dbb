"""ScaleEmbed: each scale is shown the smaller ones enlarged, as PyTorch's interpolation does it, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F

from unified_jax.core.sequence import Payload
from unified_jax.nn.scale_embed import ScaleEmbed

SIDES, N, V, D = (1, 2, 3), 14, 7, 5


def payload(ids) -> Payload:
    zeros = jnp.zeros_like(ids)
    return Payload(ids, slot=zeros, read=zeros, unit=zeros, time=zeros + 0.0, weight=zeros + 0.0)


def embedded(params, ids):
    pos = jnp.zeros((*ids.shape, 3), jnp.int32)
    return np.asarray(ScaleEmbed(V, D, SIDES).apply({"params": params}, payload(ids), pos))


def test_pictures_of_a_row_are_shown_their_own_smaller_scales():
    ids = jnp.asarray(np.random.default_rng(0).integers(0, V, (2, 2 * N + 3)), jnp.int32)  # two pictures and padding
    pos = jnp.zeros((*ids.shape, 3), jnp.int32)
    params = ScaleEmbed(V, D, SIDES).init(jax.random.key(0), payload(ids), pos)["params"]
    made, table, place = embedded(params, ids), np.asarray(params["table"]), np.asarray(params["place"])
    for row in range(2):
        for first in (0, N):
            vectors, start, total = table[ids[row, first : first + N]], 0, torch.zeros(1, D, 3, 3)
            for side in SIDES:
                count = side**2
                shown = F.interpolate(total, size=(side, side), mode="area")[0].permute(1, 2, 0).reshape(count, D)
                expected = shown.numpy() + place[start : start + count]
                np.testing.assert_allclose(made[row, first + start : first + start + count], expected, atol=1e-5)
                own = torch.tensor(vectors[start : start + count].reshape(side, side, D)).permute(2, 0, 1)[None]
                total = total + F.interpolate(own, size=(3, 3), mode="bicubic")
                start += count


def test_a_scale_is_shown_neither_itself_nor_later_ones():
    ids = jnp.zeros((1, N), jnp.int32)
    params = {"table": jnp.eye(V, D), "place": jnp.zeros((N, D))}
    base = embedded(params, ids)
    for start, end in ((0, 1), (1, 5), (5, 14)):
        changed = embedded(params, ids.at[:, start:end].set(3)) != base
        assert not changed[:, :end].any() and (end == N or changed[:, end:].any())
