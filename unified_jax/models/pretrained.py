"""Checkpoint folders: config.json + model.safetensors + tokenizer.json, in and out.

``config.json`` names the family (``model_type``) and the plain values it is built with; nothing in a folder is code.
"""

import importlib
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.core.files import write_text
from unified_jax.core.types import DTypeLike, PRNGKeyArray
from unified_jax.data.pack import pack
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.interop import safetensors

FAMILIES = {
    "transfusion": "unified_jax.models.transfusion",
    "chameleon": "unified_jax.models.chameleon",
    "vq": "unified_jax.models.vq",
}


def build(name: str, tokenizer: Tokenizer, arguments: dict[str, Any]) -> Any:
    """The model of a family by name. Raises ValueError for an unknown family or argument."""
    if name not in FAMILIES:
        raise ValueError(f"unknown model_type {name!r}; families are {', '.join(FAMILIES)}")
    function = getattr(importlib.import_module(FAMILIES[name]), name)
    try:
        return function(tokenizer, **{key: _tuples(value) for key, value in arguments.items()})
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None


def parameters(model: Any, rng: PRNGKeyArray) -> dict[str, Any]:
    """Fresh parameters of a model, its codec's under "codec" where it has any."""
    family = model.family
    model_rng, codec_rng = jax.random.split(rng)
    seq = pack([[]], family.streams, family.smallest)
    params = model.init(model_rng, seq, method="predict")["params"]
    codec = family.codec.init(codec_rng)
    return {**params, "codec": codec} if codec else dict(params)


def save_pretrained(path: str | Path, model: Any, params: Any, *, dtype: DTypeLike | None = None) -> None:
    """Writes the folder; each file appears whole or not at all.

    dtype: what floating parameters are stored in, "bfloat16" for files of half the size; None stores them as they are.
      ``from_pretrained`` gives the model's own types either way.
    """
    path, family = Path(path), model.family
    path.mkdir(parents=True, exist_ok=True)
    if dtype is not None:
        params = jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, params)
    safetensors.save(path / "model.safetensors", params, metadata={"format": "unified_jax"})
    family.tokenizer.save(path / "tokenizer.json")
    config = {"model_type": family.name, "arguments": dict(family.arguments)}
    write_text(path / "config.json", json.dumps(config, indent=2) + "\n")


def from_pretrained(path: str | Path) -> tuple[Any, Any]:
    """(model, params) of a checkpoint folder. Raises FileNotFoundError or ValueError in one clear line."""
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such checkpoint folder")
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path}: not a checkpoint folder of this library (it has no {name})")
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        name, arguments = config["model_type"], dict(config["arguments"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path / 'config.json'}: not a config of this library ({error})") from None
    model = build(name, Tokenizer.load(path / "tokenizer.json"), arguments)
    shapes = jax.eval_shape(lambda: parameters(model, jax.random.key(0)))
    return model, safetensors.load(path / "model.safetensors", shapes)


def _tuples(value: Any) -> Any:
    """JSON has no tuples; modules want them (lists have no hash)."""
    if isinstance(value, list):
        return tuple(_tuples(x) for x in value)
    return {key: _tuples(x) for key, x in value.items()} if isinstance(value, dict) else value
