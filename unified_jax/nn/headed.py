"""Headed pictures: a stream of pictures whose first entry only tells the time of the others.

    payload [B N P]  =  time, entry, ..., entry, time, entry, ..., entry, padding

What the first entry holds nobody reads, its prediction is 0, and its time is that of the others. Pictures are all of
one grid, so that which entries are a picture is known before anything runs; behind the last whole one lies padding.
"""

import jax.numpy as jnp

from unified_jax.core.sequence import Payload
from unified_jax.core.types import Array, Float

Grid = tuple[int, int]


def count(room: int, grid: Grid) -> int:
    """How many pictures there is room for."""
    return room // (1 + grid[0] * grid[1])


def whole(x: Float[Array, "B N D"], grid: Grid) -> Float[Array, "b n D"]:
    """The entries of every picture of all rows, without the first."""
    size, pictures = 1 + grid[0] * grid[1], count(x.shape[1], grid)
    return x[:, : pictures * size].reshape(len(x) * pictures, size, x.shape[-1])[:, 1:]


def pictures(payload: Payload, grid: Grid) -> tuple[Float[Array, "b H W P"], Float[Array, "b"]]:
    """The pictures of all rows, and their times."""
    values = whole(payload.values, grid)
    return values.reshape(len(values), *grid, -1), whole(payload.time[..., None], grid)[:, 0, 0]


def entries(y: Float[Array, "b H W D"], first: Float[Array, "b D"], *, batch: int, room: int) -> Float[Array, "B N D"]:
    """The inverse: ``first`` and then the grid, of every picture; zeros where there is none."""
    states = jnp.concatenate([first[:, None], y.reshape(len(y), -1, y.shape[-1])], 1).reshape(batch, -1, y.shape[-1])
    return jnp.pad(states, ((0, 0), (0, room - states.shape[1]), (0, 0)))
