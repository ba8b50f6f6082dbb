"""What another project published: a model's config, its layout, and networks that are pieces of larger systems."""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from unified_jax.data.chat import ChatTokenizer
from unified_jax.interop.rules import Copy, Rule


class Config(dict):
    """Fields of a published ``config.json``; one that is needed and not there raises ValueError."""

    def __missing__(self, key: str) -> Any:
        kind = self.get("model_type", self.get("_class_name"))
        raise ValueError(f"config.json of a {kind!r} model has no {key!r}; no default is assumed")


def with_defaults(config: Config, defaults: Mapping[str, Any]) -> Config:
    """The config with the reference's own defaults where it is silent: the parts of a larger network are published as
    differences from them, and a file older than a field lacks it.
    """
    return Config({**defaults, **config})


@dataclasses.dataclass(frozen=True)
class Published:
    """The layout a model was published in: its ``config.json``, and the table of names that leads there and back.

    skip: regex of published names that are ignored on purpose. stem: what the files of weights are called. stems: the
    same where each file holds a network of its own, whose names the table has behind "<stem>.".
    prefix: what other files have before every name, old ones and those of a larger network, which may put more before
    it; it is not written.
    former: regexes of parts of names in files of other releases, and what they are called here.
    roots: what the names of this network begin with, where a larger network's file has them and others, and may put
    more before them.
    files: what else lies in the folder and is written back as it was, JSON by name.
    constants: tensors that are alike in all files of this layout, by name: they are written, and skipped when read.
    """

    config: Mapping[str, Any]
    rules: Sequence[Rule | Copy]
    skip: str = ""
    stem: str = "model"
    stems: Sequence[str] = ()
    prefix: str = ""
    former: Mapping[str, str] = dataclasses.field(default_factory=dict)
    roots: Sequence[str] = ()
    files: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    constants: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether a tensor of a larger network's file is this network's."""
        return re.match(self._before, name) is not None

    def name_today(self, name: str) -> str:
        """The name that the table knows for one of a file of whatever release."""
        name = re.sub(self._before, "", name, count=1)
        for former, today in self.former.items():
            name = re.sub(former, today, name)
        return name

    @property
    def _before(self) -> str:
        """Regex of what stands before a name: nothing, or whole words, and then the prefix or one of the roots."""
        ends = re.escape(self.prefix)
        if self.roots:
            ends += f"(?={'|'.join(map(re.escape, self.roots))})"
        return rf"^(?:[^.]+\.)*?{ends}" if ends else "^"


def skip_under(pieces: Mapping[str, str]) -> str:
    """The regex of what a system ignores. pieces: what the names of a piece begin with -> the piece's own regex."""
    return "|".join(rf"{re.escape(before)}(?:{skip})" for before, skip in pieces.items() if skip)


@dataclasses.dataclass(frozen=True)
class Beside:
    """What lies beside the weights of a published model.

    preprocess: a uint8 picture [H W 3] -> what the network sees of it, float32 [h w 3]; None where no file says. files:
    as in ``Published``.
    """

    tokenizer: ChatTokenizer
    preprocess: Callable[[np.ndarray], np.ndarray] | None = None
    files: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Component:
    """A published network that is a piece of larger systems: a codec, an encoder of pictures or of text, a denoiser.

    module: the network, whose ``__call__`` uses every parameter. inputs: arguments it takes, as shapes and types in
    the place of arrays. static: those by keyword that are no arrays.
    """

    module: nn.Module
    inputs: Sequence[Any]
    published: Published
    static: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def shapes(self) -> Any:
        """Shapes and types of the parameter tree; nothing is computed."""
        init = partial(self.module.init, **self.static)
        return jax.eval_shape(init, jax.random.key(0), *self.inputs)["params"]

    def apply(self, params: Any, *args: Any, method: str = "__call__", **kwargs: Any) -> Any:
        """Calls a method of the module: pure, so it can be jitted with the component closed over."""
        return self.module.apply({"params": params}, *args, method=method, **kwargs)
