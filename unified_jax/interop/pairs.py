"""Rules that come in pairs: weight and bias of the pieces that PyTorch's modules name so."""

import dataclasses
from collections.abc import Iterable, Mapping

from unified_jax.interop.rules import Rule


def layer(name: str, path: str, form: str) -> tuple[Rule, Rule]:
    """Of anything with a kernel. form: of the kernel."""
    return Rule(f"{name}.weight", f"{path}/kernel", form), Rule(f"{name}.bias", f"{path}/bias")


def dense(name: str, path: str) -> tuple[Rule, Rule]:
    """Of an affine map."""
    return layer(name, path, "f d -> d f")


def heads(name: str, path: str) -> tuple[Rule, Rule]:
    """Of a projection to heads."""
    return Rule(f"{name}.weight", f"{path}/kernel", "(h c) d -> d h c"), Rule(
        f"{name}.bias", f"{path}/bias", "(h c) -> h c"
    )


def out(name: str, path: str) -> tuple[Rule, Rule]:
    """Of attention's last projection, from heads."""
    return layer(name, path, "d (h c) -> h c d")


def norm(name: str, path: str) -> tuple[Rule, Rule]:
    """Scale and bias of a norm."""
    return Rule(f"{name}.weight", f"{path}/scale"), Rule(f"{name}.bias", f"{path}/bias")


def under(prefix: str, rules: Iterable[Rule], *, path: str = "") -> tuple[Rule, ...]:
    """The same rules where a larger network has the piece: with ``prefix`` before every published name, and ``path``
    before every parameter.
    """
    return tuple(
        dataclasses.replace(rule, pattern=prefix + rule.pattern, path=tuple(path + own for own in rule.paths))
        for rule in rules
    )


def renamed(rules: Iterable[Rule], names: Mapping[str, str]) -> tuple[Rule, ...]:
    """The same rules for files whose names begin otherwise. names: what patterns begin with, and what comes instead.

    Raises ValueError for a pattern that begins with none of them.
    """
    found = []
    for rule in rules:
        begin = next((begin for begin in names if rule.pattern.startswith(begin)), None)
        if begin is None:
            raise ValueError(f"{rule.pattern} begins with none of {', '.join(names)}")
        found.append(dataclasses.replace(rule, pattern=names[begin] + rule.pattern.removeprefix(begin)))
    return tuple(found)
