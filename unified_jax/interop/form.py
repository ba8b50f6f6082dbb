"""Forms: how a published tensor is arranged, as an einops expression "published -> ours".

    "... -> ..."                         as it is
    "(h c) d -> d h c"                   a projection by heads
    "(h c two) d -> d h (two c)"         rotary pairs side by side -> halves
    "(h three c) d -> three d h c"       one tensor, three parameters: the leading axis counts them
    "[h c] d -> d h c"                   one tensor, several parameters of unequal sizes, one after another along []

Axes are as large as the parameter's shape says; an axis called two, three or four has that size.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import einops
import numpy as np

from unified_jax.core.types import Shaped

COUNTS = {"two": 2, "three": 3, "four": 4}

_TERM = re.compile(r"\(([^()]*)\)|\[([^][]*)\]|([^][()\s]+)")


@dataclass(frozen=True)
class Form:
    """A form whose sizes are known, for one published tensor.

    forward, backward: plain einops. sizes: of every named axis, one mapping for each parameter (part). axis: the
    published axis along which the parts lie; None where there is no []. counted: the parts are a leading axis.
    """

    forward: str
    backward: str
    sizes: tuple[dict[str, int], ...]
    shape: tuple[int, ...]
    bounds: tuple[int, ...]
    axis: int | None
    counted: bool

    def take(self, published: Shaped[np.ndarray, "..."], part: int) -> Shaped[np.ndarray, "..."]:
        """One parameter's share of a published tensor, a view where possible."""
        if self.axis is not None:
            published = published[(slice(None),) * self.axis + (slice(*self.bounds[part : part + 2]),)]
        ours = einops.rearrange(published, self.forward, **self.sizes[part])
        return ours[part] if self.counted else ours

    def join(self, ours: Sequence[Shaped[np.ndarray, "..."]]) -> Shaped[np.ndarray, "..."]:
        """The published tensor of its parameters' shares: the inverse of ``take``."""
        shares = [np.stack(ours)] if self.counted else ours
        published = [einops.rearrange(x, self.backward, **size) for x, size in zip(shares, self.sizes)]
        return published[0] if self.axis is None else np.concatenate(published, self.axis)


def bind(form: str, shapes: Sequence[tuple[int, ...]]) -> Form:
    """The form for parameters of these shapes (the axes that number layers or experts left out).

    Raises ValueError where the form cannot be read, does not fit a shape, or leaves a size open.
    """
    if form.count("->") != 1 or _TERM.sub("", form.replace("->", "")).strip():
        raise ValueError(f"form {form!r} is not of the kind 'published -> ours'")
    brackets = form.count("[")
    counted = len(shapes) > 1 and not brackets
    if brackets > 1 or (brackets and "[" not in form.split("->")[0]):
        raise ValueError(f"form {form!r} may mark one published axis by [], no more")
    if counted:
        if len(set(shapes)) > 1:
            raise ValueError(f"form {form!r} gives equal shares, but the parameters have shapes {list(shapes)}")
        shapes = [(len(shapes), *shapes[0])] * len(shapes)
    form = _without_ellipsis(form, len(shapes[0]))
    left, right = (_terms(side) for side in form.split("->"))
    sizes = [_sizes(form, right, shape) for shape in shapes]
    published = [tuple(_size(form, term, size) for term in left) for size in sizes]
    axis = next((i for i, term in enumerate(_TERM.finditer(form.split("->")[0])) if term[2] is not None), None)
    bounds, shape = (0,), list(published[0])
    if axis is not None:
        if len({x[:axis] + x[axis + 1 :] for x in published}) > 1:
            raise ValueError(f"form {form!r} does not join parameters of shapes {list(shapes)}")
        bounds = tuple(sum(x[axis] for x in published[:part]) for part in range(len(published) + 1))
        shape[axis] = bounds[-1]
    forward = form.replace("[", "(").replace("]", ")")
    names = set(re.findall(r"[A-Za-z]\w*", forward))
    return Form(
        forward=forward,
        backward=" -> ".join(reversed(forward.split("->"))),
        sizes=tuple({name: size[name] for name in names} for size in sizes),
        shape=tuple(shape),
        bounds=bounds,
        axis=axis,
        counted=counted,
    )


def _terms(side: str) -> list[list[str]]:
    return [" ".join(filter(None, term.groups())).split() for term in _TERM.finditer(side)]


def _without_ellipsis(form: str, rank: int) -> str:
    missing = rank - len(_terms(form.split("->")[1])) + 1
    return form.replace("...", " ".join(f"axis{i}" for i in range(missing)))


def _sizes(form: str, terms: list[list[str]], shape: tuple[int, ...]) -> dict[str, int]:
    """The size of every axis, from the parameter's shape."""
    if len(terms) != len(shape):
        raise ValueError(f"form {form!r} gives {len(terms)} axes, but the parameter has {len(shape)}: {shape}")
    sizes = dict(COUNTS)
    for term, size in zip(terms, shape):
        unknown = [name for name in term if name not in sizes and name != "1"]
        if len(unknown) > 1:
            raise ValueError(f"form {form!r} leaves the sizes of {' and '.join(unknown)} open")
        rest = math.prod(sizes[name] for name in term if name in sizes)
        if size % rest or (not unknown and size != rest):
            raise ValueError(f"form {form!r} does not fit the parameter's shape {shape}")
        sizes |= {name: size // rest for name in unknown}
    return sizes


def _size(form: str, term: list[str], sizes: dict[str, int]) -> int:
    unknown = [name for name in term if name not in sizes and name != "1"]
    if unknown:
        raise ValueError(f"form {form!r} says nothing of {' and '.join(unknown)} on its right side")
    return math.prod(sizes[name] for name in term if name != "1")
