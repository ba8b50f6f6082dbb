"""Which emoji are held out, four ways; every way decides by picture, never by pair, and by a stable hash.

``random``: 5% of the ids. ``combinations``: 20% of the (base, skin tone) pairs, while every base and every tone stays
in training, so that only their meeting is new. ``new``: emoji version 13.0 and later. ``style``: the first style is
trained on, the others are held out.
"""

import collections
import hashlib
from collections.abc import Callable, Collection, Sequence

from unified_jax.data.sources import emoji_assets as assets

SPLITS = ("train", "held_out")
_RANDOM_FRACTION = 0.05
_COMBINATION_FRACTION = 0.2
_NEW_VERSION = 13.0

Picture = tuple[str, str]  # style, id


def pictures(split: str, *, holdout: str, styles: Sequence[str]) -> tuple[Picture, ...]:
    """The (style, id) pairs of one split, in the order of the data.

    Raises ValueError for an unknown split, holdout or style, and for ``style`` with fewer than two styles.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown emoji split {split!r}: choose among {', '.join(SPLITS)}")
    if holdout not in HOLDOUTS:
        raise ValueError(f"unknown emoji holdout {holdout!r}: choose among {', '.join(HOLDOUTS)}")
    everything = [(style, id) for style in styles for id in assets.rows(style)]
    held_out = HOLDOUTS[holdout](everything)
    return tuple(picture for picture in everything if (picture in held_out) == (split == "held_out"))


def _fraction(*key: str) -> float:
    """A number in [0, 1) that is the same for the same key in every process and version."""
    digest = hashlib.blake2b("/".join(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _random(pictures: Sequence[Picture]) -> Collection[Picture]:
    return {(style, id) for style, id in pictures if _fraction("random", id) < _RANDOM_FRACTION}


def _combinations(pictures: Sequence[Picture]) -> Collection[Picture]:
    # Decided over all records rather than over the styles in use, so that a picture's side does not depend on them.
    toned = collections.defaultdict(list)
    for record in assets.records().values():
        if record.tones:
            toned[record.base].append((_fraction("combinations", record.base, *record.tones), record.id))
    held_out = set()
    for draws in toned.values():
        # The largest draw always trains, so that no base is seen without any skin tone.
        held_out |= {id for draw, id in sorted(draws)[:-1] if draw < _COMBINATION_FRACTION}
    return {(style, id) for style, id in pictures if id in held_out}


def _new(pictures: Sequence[Picture]) -> Collection[Picture]:
    return {(style, id) for style, id in pictures if assets.records()[id].version >= _NEW_VERSION}


def _style(pictures: Sequence[Picture]) -> Collection[Picture]:
    trained = pictures[0][0]
    held_out = {(style, id) for style, id in pictures if style != trained}
    if not held_out:
        raise ValueError(f"holdout 'style' needs two styles or more, the first to train on; only {trained!r} was given")
    return held_out


HOLDOUTS: dict[str, Callable[[Sequence[Picture]], Collection[Picture]]] = {
    "random": _random,
    "combinations": _combinations,
    "new": _new,
    "style": _style,
}
