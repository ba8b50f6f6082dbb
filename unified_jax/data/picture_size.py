"""The size a picture is resized to: functions of (height, width) that published processors describe in many ways."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

Size = Callable[[int, int], tuple[int, int]]


def size_of(found: Any, *, square: bool) -> Size:
    """The size that a config's ``size`` or ``crop_size`` means.

    square: whether a single number is both sides; otherwise the shorter one. Raises ValueError for one that cannot be
    read.
    """
    if isinstance(found, int):
        return partial(exactly, size=(found, found)) if square else partial(shortest_edge, size=found)
    if isinstance(found, list | tuple) and len(found) == 2:
        return partial(exactly, size=tuple(found))
    if not isinstance(found, Mapping):
        raise ValueError(f"size {found!r}: a number, two of them or an object")
    given = {key: value for key, value in found.items() if value is not None}
    kinds = {
        ("height", "width"): lambda: partial(exactly, size=(given["height"], given["width"])),
        ("shortest_edge",): lambda: partial(shortest_edge, size=given["shortest_edge"]),
        ("longest_edge", "shortest_edge"): lambda: partial(
            shortest_edge, size=given["shortest_edge"], longest=given["longest_edge"]
        ),
        ("max_height", "max_width"): lambda: partial(within, size=(given["max_height"], given["max_width"])),
    }
    if tuple(sorted(given)) not in kinds:
        known = "; ".join(" and ".join(keys) for keys in kinds)
        raise ValueError(f"size of {' and '.join(sorted(given)) or 'nothing'}; known are {known}")
    return kinds[tuple(sorted(given))]()


def exactly(height: int, width: int, *, size: tuple[int, int]) -> tuple[int, int]:
    """This size, whatever the picture's shape."""
    return size


def shortest_edge(height: int, width: int, *, size: int, longest: int | None = None) -> tuple[int, int]:
    """The shorter side ``size`` and the other in proportion, rounded down; smaller where that exceeds ``longest``."""
    short, long = sorted((height, width))
    if longest is None or long / short * size <= longest:
        return _shaped(height, width, short=size, long=int(size * long / short))
    exact = longest * short / long
    if round(exact) == short:
        return height, width
    return _shaped(height, width, short=round(exact), long=int(exact * long / short))


def within(height: int, width: int, *, size: tuple[int, int]) -> tuple[int, int]:
    """As large as fits, in proportion, rounded down."""
    scale = min(size[0] / height, size[1] / width)
    return int(height * scale), int(width * scale)


def most_patches(count: int, patch: int) -> Size:
    """The largest size of at most ``count`` patches, each side a multiple of ``patch``, the shape nearly kept."""
    return partial(_most_patches, count=count, patch=patch)


def _most_patches(height: int, width: int, *, count: int, patch: int) -> tuple[int, int]:
    """Halves the range of scales to within 1e-5, as the published processor does: the last scale that fits."""
    low, high, precision = 1e-6, 100.0, 1e-5
    patches = lambda scale: [max(1, math.ceil(side * scale / patch)) for side in (height, width)]
    while high - low >= precision:
        middle = (low + high) / 2
        if math.prod(patches(middle)) <= count:
            low = middle
        else:
            high = middle
    rows, columns = patches(low)
    return rows * patch, columns * patch


def _shaped(height: int, width: int, *, short: int, long: int) -> tuple[int, int]:
    return (short, long) if height <= width else (long, short)
