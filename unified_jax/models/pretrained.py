"""Checkpoint folders, in and out: the library's own layout, and those of published models.

    own          config.json ({"model_type", "arguments"}), model.safetensors, tokenizer.json
    published    config.json and safetensors as transformers writes them, in one file or in shards; or one .gguf file

``config.json`` names the family and its values; nothing in a folder is code, and nothing is unpickled.
"""

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.core.files import read_json, write_text
from unified_jax.core.types import DTypeLike, PRNGKeyArray
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.pack import pack
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.interop import convert, folder, safetensors
from unified_jax.interop.checkpoint import Checkpoint
from unified_jax.interop.gguf import open_gguf
from unified_jax.models.causal_lm import Config, causal_lm

# Families in the library's own layout, by the file they live in.
FAMILIES = {
    "transfusion": "unified_jax.models.transfusion",
    "chameleon": "unified_jax.models.chameleon",
    "vq": "unified_jax.models.vq",
}

# Published language models: model_type -> the file with the function of that name.
DECODERS = {
    "chameleon": "unified_jax.models.chameleon_decoder",
    "gemma2": "unified_jax.models.gemma",
    "llama": "unified_jax.models.llama",
    "mistral": "unified_jax.models.llama",
    "mixtral": "unified_jax.models.mixtral",
    "persimmon": "unified_jax.models.persimmon",
    "phi": "unified_jax.models.phi",
    "qwen2": "unified_jax.models.qwen",
    "qwen3": "unified_jax.models.qwen",
    "qwen3_moe": "unified_jax.models.qwen",
}

Place = Callable[[Any], Any]  # shapes of a parameter tree -> the same with shardings


def build(name: str, tokenizer: Tokenizer, arguments: dict[str, Any]) -> Any:
    """The model of a family by name. Raises ValueError for an unknown family or argument."""
    function = _named(FAMILIES, name)
    try:
        return function(tokenizer, **{key: _tuples(value) for key, value in arguments.items()})
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None


def build_published(config: Mapping[str, Any], tokenizer: ChatTokenizer, *, dtype: DTypeLike = "float32") -> Any:
    """The model of a published ``config.json``. Raises ValueError for a model_type or a value that is not known."""
    config = Config(config)
    decoder = _named(DECODERS, config["model_type"])(config, dtype=dtype)
    return causal_lm(decoder, config, tokenizer, dtype=dtype)


def parameters(model: Any, rng: PRNGKeyArray) -> dict[str, Any]:
    """Fresh parameters of a model, its codec's under "codec" where it has any."""
    family = model.family
    model_rng, codec_rng = jax.random.split(rng)
    seq = pack([[]], family.streams, family.smallest)
    params = model.init(model_rng, seq, method="predict")["params"]
    codec = family.codec.init(codec_rng)
    return {**params, "codec": codec} if codec else dict(params)


def save_pretrained(path: str | Path, model: Any, params: Any, *, dtype: DTypeLike | None = None) -> None:
    """Writes the folder, in the published layout where the model came in one; each file whole or not at all.

    dtype: what floating parameters are stored in, "bfloat16" for files of half the size; None stores them as they are.
      ``from_pretrained`` gives the model's own types either way.
    """
    path, family = Path(path), model.family
    path.mkdir(parents=True, exist_ok=True)
    if dtype is not None:
        params = jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, params)
    if family.published is not None:
        tensors = convert.export(params, rules=family.published.rules)
        folder.write_folder(path, tensors, config=family.published.config)
        family.tokenizer.save(path)
        return
    safetensors.save(path / "model.safetensors", params, metadata={"format": "unified_jax"})
    family.tokenizer.save(path / "tokenizer.json")
    config = {"model_type": family.name, "arguments": dict(family.arguments)}
    write_text(path / "config.json", json.dumps(config, indent=2) + "\n")


def from_pretrained(path: str | Path, *, dtype: DTypeLike = "float32", place: Place | None = None) -> tuple[Any, Any]:
    """(model, params) of a checkpoint folder or a .gguf file.

    dtype: of a published model's computation; the library's own layout says it itself. place: gives shapes their
      shardings, ``lambda shapes: train.sharding.placed(shapes, mesh)``, to read parameters straight to their shards.
    Raises FileNotFoundError or ValueError in one clear line.
    """
    path = Path(path)
    place = place or (lambda shapes: shapes)
    if path.suffix == ".gguf":
        checkpoint = open_gguf(path)
        return _from_published(checkpoint, _gguf_tokenizer(checkpoint), dtype, place)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such checkpoint folder")
    if (config := _read_config(path)).get("arguments") is None:
        checkpoint = folder.open_folder(path)
        return _from_published(checkpoint, ChatTokenizer.load(path, stop=_stop(path, config)), dtype, place)
    for name in ("tokenizer.json", "model.safetensors"):
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path}: not a checkpoint folder of this library (it has no {name})")
    model = build(config["model_type"], Tokenizer.load(path / "tokenizer.json"), dict(config["arguments"]))
    return model, safetensors.load(path / "model.safetensors", place(_shapes(model)))


def _from_published(
    checkpoint: Checkpoint, tokenizer: ChatTokenizer, dtype: DTypeLike, place: Place
) -> tuple[Any, Any]:
    model = build_published(checkpoint.config, tokenizer, dtype=dtype)
    published, source = model.family.published, str(checkpoint.path)
    shapes = place(_shapes(model))
    params = convert.load(checkpoint.tensors, shapes, rules=published.rules, skip=published.skip, source=source)
    return model, params


def _gguf_tokenizer(checkpoint: Any) -> ChatTokenizer:
    backend, config = checkpoint.tokenizer(), checkpoint.config
    ids = {key.removesuffix("_id"): config[key] for key in ("bos_token_id", "eos_token_id") if key in config}
    special = {name: backend.id_to_token(id) for name, id in ids.items()}
    stop = (config["eos_token_id"],) if "eos_token_id" in config else ()
    add_bos = bool(checkpoint.metadata.get("tokenizer.ggml.add_bos_token", False))
    return ChatTokenizer(backend, stop=stop, template=checkpoint.chat_template, special=special, add_bos=add_bos)


def _stop(path: Path, config: Mapping[str, Any]) -> tuple[int, ...]:
    """The ids that end a text: those of ``generation_config.json``, or else of the config."""
    generation = _read_config(path, "generation_config.json") if (path / "generation_config.json").is_file() else {}
    found = generation.get("eos_token_id", config.get("eos_token_id"))
    return () if found is None else tuple(found) if isinstance(found, list) else (found,)


def _read_config(path: Path, name: str = "config.json") -> dict[str, Any]:
    if not (path / name).is_file():
        raise FileNotFoundError(f"{path}: not a checkpoint folder (it has no {name})")
    config = read_json(path / name)
    if name == "config.json" and "model_type" not in config:
        raise ValueError(f"{path / name}: not a config (it has no model_type)")
    return config


def _shapes(model: Any) -> Any:
    return jax.eval_shape(lambda: parameters(model, jax.random.key(0)))


def _named(table: Mapping[str, str], name: str) -> Callable[..., Any]:
    if name not in table:
        raise ValueError(f"unknown model_type {name!r}; known are {', '.join(table)}")
    return getattr(importlib.import_module(table[name]), name)


def _tuples(value: Any) -> Any:
    """JSON has no tuples; modules want them (lists have no hash)."""
    if isinstance(value, list):
        return tuple(_tuples(x) for x in value)
    return {key: _tuples(x) for key, x in value.items()} if isinstance(value, dict) else value
