"""Rules that come in pairs: weight and bias of the pieces that PyTorch's modules name so."""

import dataclasses
from collections.abc import Iterable

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


def under(prefix: str, rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The same rules where a larger network has the piece: with ``prefix`` before every published name."""
    return tuple(dataclasses.replace(rule, pattern=prefix + rule.pattern) for rule in rules)
