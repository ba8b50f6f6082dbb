"""Lora: fine-tuning by low-rank adapters of a model that stays as it is (arXiv:2106.09685, section 4.1).

    y = x W + (alpha / rank) (x A) B          W [in out] as it came, A [in rank] drawn, B [rank out] from zero

While training, the two thin products are added to what a layer computes, wherever in the model it is, so that no
gradient of W is ever formed: two thirds of the matrix products of a full step, and neither gradients, moments nor
averages of what stays. To use the result, A B is added to W once (``merge``), which makes a model like any other.

Adapters are a tree of their own, by the path of the matrix they belong to:

    {"low_rank": {"backbone/layer/q_main/kernel": {"a": [L D rank], "b": [L rank H C]}, ...}, "whole": {path: array}}
"""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from unified_jax.core.files import read_json, write_text
from unified_jax.core.types import Array, Float, PRNGKeyArray
from unified_jax.data.pack import pack
from unified_jax.interop import safetensors
from unified_jax.nn.dense import Dense
from unified_jax.nn.moe import Kernel

Adapters = dict[str, dict[str, Any]]
A, B = "low_rank_a", "low_rank_b"  # beside a kernel while a layer runs


@dataclasses.dataclass(frozen=True)
class Lora:
    """Which parameters are tuned, and how.

    pattern: regex of the paths of kernels that get adapters, of dense layers and of experts, in whatever lane. rank,
    alpha: as above. whole: regex of the paths of parameters that are trained themselves (a connector, say).
    """

    pattern: str = ""
    rank: int = 8
    alpha: float = 16.0
    whole: str = ""

    def __post_init__(self):
        if self.rank < 1:
            raise ValueError(f"lora.rank must be 1 or more, found {self.rank}")

    def draw(self, rng: PRNGKeyArray, base: Mapping[str, Any], *, model: Any) -> Adapters:
        """Adapters that change nothing yet. Raises ValueError for a pattern that names nothing."""
        flat, inputs = flatten_dict(base, sep="/"), matrices(model)
        kernels = _named(self.pattern, inputs, "lora.pattern")
        keys = jax.random.split(rng, max(len(kernels), 1))
        low_rank = {path: self._pair(key, flat[path].shape, *inputs[path]) for key, path in zip(keys, kernels)}
        return {"low_rank": low_rank, "whole": {path: flat[path] for path in _named(self.whole, flat, "lora.whole")}}

    def _pair(self, rng: PRNGKeyArray, shape: tuple[int, ...], ins: int, outs: int) -> dict[str, Array]:
        """ins, outs: how many of the last axes are inputs and outputs; those before are layers and experts."""
        stacked, inputs, outputs = shape[: -ins - outs], shape[-ins - outs : -outs], shape[-outs:]
        spread = math.prod(inputs) ** -0.5
        a = spread * jax.random.normal(rng, (*stacked, *inputs, self.rank), jnp.float32)
        return {"a": a, "b": jnp.zeros((*stacked, self.rank, *outputs), jnp.float32)}

    def attach(self, base: Mapping[str, Any], adapters: Adapters) -> dict[str, Any]:
        """The parameters with adapters beside their kernels, as ``Adapted`` runs them."""
        flat = {**flatten_dict(base, sep="/"), **adapters["whole"]}
        for path, pair in adapters["low_rank"].items():
            layer = path.rpartition("/")[0]
            flat |= {f"{layer}/{A}": pair["a"], f"{layer}/{B}": self.alpha / self.rank * pair["b"]}
        return unflatten_dict(flat, sep="/")

    def merge(self, base: Mapping[str, Any], adapters: Adapters) -> dict[str, Any]:
        """Parameters of the model as it came, to which the adapters are added."""
        flat = {**flatten_dict(base, sep="/"), **adapters["whole"]}
        for path, pair in adapters["low_rank"].items():
            added = self.alpha / self.rank * _product(pair["a"], pair["b"], flat[path].shape)
            flat[path] = (flat[path] + added).astype(flat[path].dtype)
        return unflatten_dict(flat, sep="/")

    def save(self, path: str | Path, adapters: Adapters) -> None:
        """Writes a folder of the adapters alone: lora.json and adapters.safetensors."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        safetensors.save(path / "adapters.safetensors", adapters, metadata={"format": "unified_jax"})
        write_text(path / "lora.json", json.dumps(dataclasses.asdict(self), indent=2) + "\n")


def load_lora(path: str | Path, model: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a model with the adapters of a folder added.

    Raises FileNotFoundError where there are none, ValueError where they belong to another model.
    """
    path = Path(path)
    if not (path / "lora.json").is_file():
        raise FileNotFoundError(f"{path}: not a folder of adapters (it has no lora.json)")
    try:
        lora = Lora(**read_json(path / "lora.json"))
    except TypeError as error:
        raise ValueError(f"{path / 'lora.json'}: {error}") from None
    like = jax.eval_shape(partial(lora.draw, model=model), jax.random.key(0), params)
    return lora.merge(params, safetensors.load(path / "adapters.safetensors", like))


@dataclasses.dataclass(frozen=True, eq=False)
class Adapted:
    """A model to train by its adapters, which are its "params"; those of the model itself are a collection, "base"."""

    model: Any
    lora: Lora

    def apply(self, variables: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        """As of the model."""
        own = {"params": self.lora.attach(variables["base"], variables["params"])}
        with nn.intercept_methods(_add):
            return self.model.apply(own, *args, **options)


def matrices(model: Any) -> dict[str, tuple[int, int]]:
    """Path of every kernel that can have adapters -> how many of its last axes are inputs and outputs.

    Only the model itself knows: [L D H C] may be three matrices or one. It is traced, and nothing computed.
    """
    found = {}

    def note(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
        module = context.module
        if context.method_name == "__call__" and isinstance(module, Dense | Kernel):
            found["/".join((*module.path, "kernel"))] = _axes(module)
        return call(*args, **kwargs)

    family = model.family
    seq = pack([[]], family.streams, family.smallest)
    with nn.intercept_methods(note):
        jax.eval_shape(lambda: model.init(jax.random.key(0), seq, method="predict"))
    return found


def _axes(module: Dense | Kernel) -> tuple[int, int]:
    if isinstance(module, Kernel):
        return 1, 1
    return module.axes, 1 if isinstance(module.features, int) else len(module.features)


def _named(pattern: str, paths: Mapping[str, Any], field: str) -> list[str]:
    found = sorted(path for path in paths if re.fullmatch(pattern, path))
    if pattern and not found:
        raise ValueError(f"{field} {pattern!r} names nothing; there are {', '.join(sorted(paths)[:3])} and others")
    return found


def _add(call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
    """What a layer computes, and what its adapters add."""
    y, module = call(*args, **kwargs), context.module
    if context.method_name != "__call__" or not isinstance(module, Dense | Kernel):
        return y
    own = module.variables.get("params", {})
    if A not in own:
        return y
    if isinstance(module, Kernel):
        return y + _product(own[A], own[B], y.shape)
    return y + _thin(args[0], own[A].astype(module.dtype), own[B].astype(module.dtype)).reshape(y.shape)


def _thin(x: Float[Array, "..."], a: Float[Array, "... R"], b: Float[Array, "R ..."]) -> Float[Array, "N F"]:
    """(x a) b, where x ends with the axes that a begins with."""
    rank = a.shape[-1]
    return (x.reshape(-1, a.size // rank).astype(a.dtype) @ a.reshape(-1, rank)) @ b.reshape(rank, -1)


def _product(a: Float[Array, "..."], b: Float[Array, "..."], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """a b of every layer and expert, in the shape of their kernel."""
    rank, stacked = a.shape[-1], shape[: a.ndim + b.ndim - len(shape) - 2]
    return (a.reshape(*stacked, -1, rank) @ b.reshape(*stacked, rank, -1)).reshape(shape)
