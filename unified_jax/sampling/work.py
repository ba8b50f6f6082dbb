"""Work: what filling a blank costs, counted and not timed."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Work:
    """slots: run through the backbone, each as often as it is. entries: embedded. reads: of the head. pairs: of a slot
    and one of the blank's slots that it sees, itself included; what stands before the blank is not among them.
    """

    slots: int
    entries: int
    reads: int
    pairs: int


def whole(entries: int, passes: int) -> Work:
    """Every entry in every pass, all of them visible to each other."""
    total = passes * entries
    return Work(slots=total, entries=total, reads=total, pairs=total * entries)


def one_by_one(entries: int, *, slots: int = 1, reads: int = 1) -> Work:
    """Each entry once, after those before it; ``slots`` for each, and ``reads`` of the head."""
    total = slots * entries
    return Work(slots=total, entries=entries, reads=reads * entries, pairs=total * (total + 1) // 2)
