"""The size a picture is resized to: functions of (height, width) that published processors describe in many ways."""

import math
from collections.abc import Callable, Mapping, Sequence
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
    return inside(height, width, size=size, rounded=int)


def best_resolution(height: int, width: int, *, resolutions: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Of (height, width) the one that keeps most of the picture, and of such the smallest (AnyRes, LLaVA-NeXT)."""

    def cost(size: tuple[int, int]) -> tuple[int, int]:
        """Minus the pixels that are kept at this size, and what else it has."""
        kept = min(math.prod(inside(height, width, size=size, rounded=int)), height * width)
        return -kept, math.prod(size) - kept

    return min(resolutions, key=cost)


def at_most(height: int, width: int, *, size: tuple[int, int]) -> tuple[int, int]:
    """As ``within``, but a picture that fits stays as it is."""
    fits = height <= size[0] and width <= size[1]
    return (height, width) if fits else within(height, width, size=size)


def inside(height: int, width: int, *, size: tuple[int, int], rounded: Callable[[float], int]) -> tuple[int, int]:
    """As large as fits, in proportion; ``rounded`` makes whole pixels, no more than ``size``."""
    scale = min(size[0] / height, size[1] / width)
    return min(rounded(height * scale), size[0]), min(rounded(width * scale), size[1])


def longest_edge(height: int, width: int, *, size: int, least: int) -> tuple[int, int]:
    """The longer side ``size`` and the other in proportion, rounded, but no side shorter than ``least``."""
    scale = size / max(height, width)
    return max(round(height * scale), least), max(round(width * scale), least)


def whole_blocks(height: int, width: int, *, block: int, least: int, most: int) -> tuple[int, int]:
    """The size nearest to this one of whole blocks, the shape nearly kept, of ``least`` to ``most`` pixels
    (Qwen2-VL, arXiv:2409.12191, section 2.1).

    Raises ValueError for a picture more than 200 times as long as wide, as the published processor does.
    """
    if max(height, width) > 200 * min(height, width):
        raise ValueError(f"image of {width}x{height} pixels: one side may be at most 200 times the other")
    sides = [round(side / block) * block for side in (height, width)]
    if math.prod(sides) > most:
        shrink = math.sqrt(height * width / most)
        sides = [max(block, math.floor(side / shrink / block) * block) for side in (height, width)]
    elif math.prod(sides) < least:
        grow = math.sqrt(least / (height * width))
        sides = [math.ceil(side * grow / block) * block for side in (height, width)]
    return sides[0], sides[1]


def whole_steps(height: int, width: int, *, step: int, least: int, most: int, pixels: int) -> tuple[int, int]:
    """Both sides multiples of ``step``, the longer at most ``most``, or else the shorter at least ``least``, and no
    more than ``pixels`` in all (github.com/ByteDance-Seed/Bagel, ``data/transforms.py``).
    """
    scaled = lambda scale: [max(step, round(round(side * scale) / step) * step) for side in sides]
    sides = [height, width]
    sides = scaled(max(min(most / max(sides), 1.0), least / min(sides)))
    for bound, found in ((pixels, math.prod), (most, max)):
        if found(sides) > bound:
            sides = scaled(bound / found(sides))
    return sides[0], sides[1]


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
