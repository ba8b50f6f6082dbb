"""Rules: a table that maps the names of a published checkpoint to ours, one to one.

    Rule("model.embed_tokens.weight", "embed/text/embedding")
    Rule(r"model.layers.(\\d+).self_attn.q_proj.weight", "backbone/layer/q_main/kernel", "(h c) d -> d h c")
    Rule(r"model.layers.(\\d+).mlp.experts.(\\d+).up_proj.weight", "backbone/layer/mlp_main/up", "f d -> d f")

Every ``(\\d+)`` is an index, and a leading axis of our parameter: our layers are scanned. A table may hold rules for
what only some models have (biases, say): a rule whose parameters the model lacks does nothing.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from unified_jax.interop.checkpoint import Tensor
from unified_jax.interop.form import Form, bind

INDEX = r"(\d+)"


@dataclass(frozen=True)
class Arithmetic:
    """A change of values beside the arrangement: two pure functions of one array, each the other's inverse."""

    to_ours: Callable[[np.ndarray], np.ndarray]
    to_published: Callable[[np.ndarray], np.ndarray]


SAME = Arithmetic(lambda x: x, lambda x: x)


@dataclass(frozen=True)
class Rule:
    r"""One kind of published tensor and the parameters it fills.

    pattern: the published name, ``(\d+)`` where it has an index; a dot may be written ``\.``. path: our parameter;
    several where one published tensor holds them all. form: see ``interop/form.py``. arithmetic: applied in the
    parameter's dtype, after the form. layers: the published numbers of the first index in the order they are stacked,
    for tables in which only some layers have this tensor; None is 0, 1, 2 and so on.
    """

    pattern: str
    path: str | tuple[str, ...]
    form: str = "... -> ..."
    arithmetic: Arithmetic = SAME
    layers: tuple[int, ...] | None = None

    def __post_init__(self):
        if set("".join(self._literals)) & set("*+?|()[]{}^$\\"):
            raise ValueError(rf"pattern {self.pattern!r}: a rule names one tensor; beside (\d+) it holds no wildcards")

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path,) if isinstance(self.path, str) else self.path

    @cached_property
    def _literals(self) -> list[str]:
        return [re.sub(r"\\(\W)", r"\1", text) for text in self.pattern.split(INDEX)]

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        """Compiled once: every name is held against every rule, and re itself keeps but 512 patterns."""
        return re.compile(INDEX.join(map(re.escape, self._literals)))

    def claims(self, name: str) -> bool:
        """Whether the name is of this kind, for whatever indices."""
        match = self._regex.fullmatch(name)
        return bool(match) and (self.layers is None or int(match[1]) in self.layers)

    @property
    def indices(self) -> int:
        return len(self._literals) - 1

    def names(self, counts: tuple[int, ...]) -> dict[tuple[int, ...], str]:
        """The published name for every index into our leading axes, which have these lengths."""
        numbers = [range(count) for count in counts]
        if self.layers is not None:
            if len(self.layers) != counts[0]:
                raise ValueError(f"layers {self.layers} are not {counts[0]}")
            numbers[0] = self.layers
        return {
            index: self._literals[0] + "".join(f"{numbers[i][at]}{self._literals[i + 1]}" for i, at in enumerate(index))
            for index in itertools.product(*map(range, counts))
        }


@dataclass(frozen=True)
class Copy:
    """A published tensor that only repeats another one (tied weights written twice).

    Loading accepts a checkpoint without it, and refuses one where the two differ; exporting writes it.
    """

    name: str
    of: str

    def claims(self, name: str) -> bool:
        """Whether this is the name."""
        return name == self.name


@dataclass(frozen=True)
class Bound:
    """A rule with the sizes of one model: the published names by index, and the form of each tensor."""

    rule: Rule
    names: dict[tuple[int, ...], str]
    form: Form


@dataclass
class Faults:
    """What does not fit, by kind; all of it is told at once."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, what: str) -> None:
        """Notes one fault."""
        self.found.setdefault(kind, []).append(what)

    def check(self, source: str) -> None:
        """Raises ValueError with a line for every kind: how many, and the first three."""
        lines = [
            f"\n  {kind} ({len(what)}): {'; '.join(what[:3])}{'; ...' if len(what) > 3 else ''}"
            for kind, what in self.found.items()
        ]
        if lines:
            raise ValueError(f"{source} does not fit this model:{''.join(lines)}")


def bound_rules(rules: Sequence[Rule | Copy], shapes: Mapping[str, Any], faults: Faults) -> list[Bound]:
    """The rules of the table that fill parameters of this model; notes each parameter that is not filled once."""
    bound, filled = [], dict.fromkeys(shapes, 0)
    for rule in rules:
        if isinstance(rule, Copy) or not set(rule.paths) & set(shapes):
            continue
        for path in rule.paths:
            filled[path] = filled.get(path, 0) + 1
        try:
            bound.append(_bind(rule, shapes))
        except ValueError as error:
            faults.add("rules that do not fit", f"{rule.pattern}: {error}")
    for path, times in filled.items():
        if times == 0:
            faults.add("parameters that no rule fills", path)
        if times > 1:
            faults.add("parameters that more than one rule fills", path)
    names = {name for each in bound for name in each.names.values()}
    for rule in rules:
        if isinstance(rule, Copy) and rule.of not in names:
            faults.add("copies of a tensor that no rule names", f"{rule.name} of {rule.of}")
    return bound


def compare(
    bound: Sequence[Bound],
    tensors: Mapping[str, Tensor],
    *,
    rules: Sequence[Rule | Copy],
    skip: str,
    shapes: Mapping[str, Any],
    faults: Faults,
) -> None:
    """Notes every published tensor that is not used exactly once, or is not what the parameters need."""
    expected = {each.rule: set(each.names.values()) for each in bound}
    active = [rule for rule in rules if isinstance(rule, Copy) or set(rule.paths) & set(shapes)]
    for name in tensors:
        users = [rule for rule in active if rule.claims(name)]
        skipped = re.fullmatch(skip, name) is not None
        if len(users) + skipped > 1:
            faults.add("tensors with more than one use", name)
        elif not users and not skipped:
            lacking = [path for rule in rules if rule.claims(name) for path in rule.paths]
            kind = "tensors whose parameter the model lacks" if lacking else "tensors that no rule names"
            faults.add(kind, f"{name} ({lacking[0]})" if lacking else name)
        elif users and name not in expected.get(users[0], {name}):
            faults.add("tensors beyond the model's layers or experts", name)
    for each in bound:
        for name in each.names.values():
            for fault in _mismatch(name, tensors, each, shapes):
                faults.add(*fault)


def _bind(rule: Rule, shapes: Mapping[str, Any]) -> Bound:
    missing = [path for path in rule.paths if path not in shapes]
    if missing:
        raise ValueError(f"the model lacks {', '.join(missing)}")
    each = [tuple(shapes[path].shape) for path in rule.paths]
    leading = {shape[: rule.indices] for shape in each}
    if len(leading) > 1 or len(next(iter(leading))) < rule.indices:
        raise ValueError(f"the parameters' shapes {each} do not begin with {rule.indices} common axes")
    return Bound(rule, rule.names(leading.pop()), bind(rule.form, [shape[rule.indices :] for shape in each]))


def _mismatch(
    name: str, tensors: Mapping[str, Tensor], bound: Bound, shapes: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    if name not in tensors:
        yield "tensors that are missing", name
        return
    tensor = tensors[name]
    if tuple(tensor.shape) != bound.form.shape:
        yield "tensors of another shape", f"{name} has {tuple(tensor.shape)}, not {bound.form.shape}"
    for path in bound.rule.paths:
        if np.dtype(tensor.dtype).kind in "iub" and np.dtype(shapes[path].dtype).kind not in "iub":
            yield "tensors of another kind", f"{name} is {tensor.dtype}, {path} {shapes[path].dtype}"
