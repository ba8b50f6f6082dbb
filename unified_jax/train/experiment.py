"""Experiment: a config file, its values after overrides, and what it builds from them.

A config file is Python. ``get_config(arg)`` returns plain values; the functions beside it turn the final values into
structure: ``model``, ``objectives``, ``data``, ``benchmarks`` and, where needed, ``texts``, ``given``, ``layouts`` and
``chapters``.
"""

import ast
import dataclasses
import difflib
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
from flax.traverse_util import flatten_dict, unflatten_dict
from ml_collections import ConfigDict

from unified_jax.core.types import PRNGKeyArray
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.lora import Lora
from unified_jax.models.pretrained import parameters

NEEDED = ("get_config", "model", "objectives", "data", "benchmarks")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """spec: "path/to/config.py" or "path/to/config.py:arg". config: the locked values. module: the config file, or
    anything that has its functions.
    """

    spec: str
    config: ConfigDict
    module: Any

    @classmethod
    def load(cls, spec: str, overrides: Sequence[str] = ()) -> "Experiment":
        """overrides: "model.width=256" and the like. Raises ValueError or FileNotFoundError in one clear line."""
        path, _, arg = spec.partition(":")
        module = _import(Path(path))
        config = module.get_config(arg) if arg else module.get_config()
        for override in overrides:
            _set(config, override)
        return cls(spec, config.lock(), module)

    @classmethod
    def of_run(cls, workdir: str | Path) -> "Experiment":
        """The experiment that ``workdir`` was trained with: its config file, and the values it had then."""
        path = Path(workdir) / "config.json"
        if not path.exists():
            raise FileNotFoundError(f"{workdir}: not a run folder (it has no config.json)")
        saved = json.loads(path.read_text(encoding="utf-8"))
        if "spec" not in saved:
            raise ValueError(f"{workdir}: not a run folder but a checkpoint: give it as --checkpoint")
        module = _import(Path(saved.pop("spec").partition(":")[0]))
        return cls(str(path), ConfigDict(saved).lock(), module)

    def tokenizer(self, workdir: str | Path | None = None) -> Tokenizer | None:
        """The run's tokenizer: read from ``workdir``, or trained on the config's texts and saved there; None where the
        config has no texts, since its model brings a tokenizer along.
        """
        if not hasattr(self.module, "texts"):
            return None
        path = Path(workdir) / "tokenizer.json" if workdir else None
        if path and path.exists():
            return Tokenizer.load(path)
        tokenizer = Tokenizer.train(self.module.texts(self.config), self.config.tokenizer.vocab)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            tokenizer.save(path)
        return tokenizer

    def model(self, tokenizer: Tokenizer | None) -> Any:
        return self.module.model(self.config, tokenizer)

    def objectives(self) -> tuple[Any, ...]:
        return tuple(self.module.objectives(self.config))

    def given(self, model: Any) -> dict[str, Any]:
        """Parameters brought along instead of drawn, at their places in the tree; {} where the config has none."""
        return self.module.given(self.config, model) if hasattr(self.module, "given") else {}

    def layouts(self, model: Any, given: Mapping[str, Any]) -> Sequence[Any]:
        """The shapes of packed rows, {"lanes": ..., "streams": ...} each: values of the config, or what it makes of the
        model and the parameters that it brings along.
        """
        if hasattr(self.module, "layouts"):
            return self.module.layouts(self.config, model, given)
        return self.config.packing.layouts

    def lora(self) -> Lora | None:
        """The adapters to train instead of all parameters; None where the config names none."""
        c = self.config.get("lora", {})
        return Lora(**c) if c.get("pattern") or c.get("whole") else None

    def data(self) -> Any:
        return self.module.data(self.config)

    def benchmarks(self) -> tuple[Any, ...]:
        return tuple(self.module.benchmarks(self.config))

    def chapters(self) -> tuple[Any, ...]:
        """Earlier runs that the page of this one shows too; () where the config has none."""
        return tuple(self.module.chapters(self.config)) if hasattr(self.module, "chapters") else ()


def init(experiment: Experiment | str, rng: PRNGKeyArray) -> tuple[Any, Any]:
    """(model, params) of an experiment or a config file, untrained."""
    experiment = Experiment.load(experiment) if isinstance(experiment, str) else experiment
    model = experiment.model(experiment.tokenizer())
    return model, complete(jax.jit(partial(parameters, model))(rng), experiment.given(model))


def complete(drawn: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Drawn parameters with those that are brought along in their places."""
    return unflatten_dict({**flatten_dict(drawn), **flatten_dict(given)})


def _import(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such config file")
    root = str(Path.cwd())
    if root not in sys.path:
        sys.path.insert(0, root)  # configs import their neighbours as configs.common
    spec = importlib.util.spec_from_file_location(f"experiment_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise ValueError(f"{path}: {error}; configs import each other from the folder that ujx is run in") from error
    if missing := [name for name in NEEDED if not hasattr(module, name)]:
        raise ValueError(f"{path}: a config file must define {missing[0]}()")
    return module


def _set(config: ConfigDict, override: str) -> None:
    """Applies "a.b=value"; the value must be of the kind that stands there."""
    path, equals, text = override.partition("=")
    if not equals:
        raise ValueError(f"override {override!r}: write it as field=value")
    *parents, last = path.split(".")
    node, walked = config, []
    for name in [*parents, last]:
        if not isinstance(node, ConfigDict) or name not in node:
            known = list(node) if isinstance(node, ConfigDict) else []
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {'.'.join([*walked, close[0]])}?" if close else f"; fields are {', '.join(known)}"
            raise ValueError(f"unknown config field {path!r}{hint}")
        walked.append(name)
        parent, node = node, node[name]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    value = float(value) if isinstance(node, float) and type(value) is int else value
    value = ConfigDict(value) if isinstance(node, ConfigDict) and isinstance(value, dict) else value
    if node is not None and type(value) is not type(node):
        raise ValueError(f"config field {path!r} holds a {type(node).__name__}, found {text!r}")
    parent[last] = value
