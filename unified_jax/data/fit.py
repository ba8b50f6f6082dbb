"""Fit: the shape of packed rows, measured on documents where nobody has worked it out."""

from collections.abc import Mapping, Sequence

from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span, sizes

STEP = 32  # capacities are multiples of it, so that documents a little longer fit as well


def fitted(
    plans: Sequence[Sequence[Span]], streams: Mapping[str, Stream], *, documents: int, smallest: Layout
) -> Layout:
    """A row for so many documents as large as the largest of those planned, and never less than ``smallest``.

    Every stream has room for its largest count, and every lane slots for the largest total of its streams.
    """
    found = [sizes(list(plan)) for plan in plans]
    of_lane = lambda lane, counts: sum(n for name, n in counts.items() if streams[name].lane == lane)
    lanes = {lane: max(of_lane(lane, counts) for counts in found) for lane in smallest.capacity}
    room = {name: documents * max(counts.get(name, 0) for counts in found) for name in streams}
    return Layout(
        {lane: max(_rounded(documents * n), smallest.capacity[lane]) for lane, n in lanes.items()},
        {name: max(n, smallest.room[name]) for name, n in room.items()},
    )


def _rounded(n: int) -> int:
    return -(-n // STEP) * STEP
