"""Checkpoint folders, in and out: the library's own layout, and those of published models.

    own          config.json ({"model_type", "arguments"}), model.safetensors, tokenizer.json
    published    config.json and safetensors as transformers and diffusers write them, in one file or in shards
                 (``published_folder.py``); or one .gguf file

``config.json`` names the family and its values (``tables.py``); nothing in a folder is code, and nothing is unpickled.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.core.files import write_text
from unified_jax.core.types import DTypeLike, PRNGKeyArray
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.pack import pack
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.interop import folder, safetensors
from unified_jax.interop.gguf import open_gguf
from unified_jax.models.decoders.causal_lm import causal_lm
from unified_jax.models.decoders.find import find_decoder
from unified_jax.models.published import Beside, Component, Config, Published
from unified_jax.models.published_folder import (
    of_gguf,
    read_beside,
    read_config,
    read_part,
    read_published,
    write_published,
)
from unified_jax.models.tables import COMPONENTS, DECODERS, FAMILIES, PARTS, SYSTEMS, find, kind_of, parts_of

Place = Callable[[Any], Any]  # shapes of a parameter tree -> the same with shardings


def build(name: str, tokenizer: Tokenizer, arguments: dict[str, Any]) -> Any:
    """The model of a family by name. Raises ValueError for an unknown family or argument."""
    function = find(FAMILIES, name)
    try:
        return function(tokenizer, **{key: _tuples(value) for key, value in arguments.items()})
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None


def build_published(
    config: Mapping[str, Any],
    beside: Beside | ChatTokenizer,
    *,
    dtype: DTypeLike = "float32",
    **computation: Any,
) -> Any:
    """The model of a published ``config.json``; computation: choices of ``lm.computed``, and ``length``, as in
    ``find_decoder``.

    beside: what came with the weights, or just its tokenizer. Raises ValueError for a model_type or a value that is not
    known.
    """
    config = Config(config)
    beside = beside if isinstance(beside, Beside) else Beside(beside)
    if (kind := kind_of(config)) in SYSTEMS:
        return find(SYSTEMS, kind)(config, beside, dtype=dtype, **computation)
    decoder = find_decoder(config, dtype=dtype, **computation)
    return causal_lm(decoder, config, beside, dtype=dtype)


def build_component(config: Mapping[str, Any], *, dtype: DTypeLike = "float32") -> Component:
    """The network of a published ``config.json``. Raises ValueError for a kind or a value that is not known."""
    config = Config(config)
    return find(COMPONENTS, kind_of(config))(config, dtype=dtype)


def build_part(config: Mapping[str, Any], part: str, *, dtype: DTypeLike = "float32") -> Component:
    """One network of a published ``config.json`` that describes several.

    Raises ValueError for a part that there is not, and as ``build_component``.
    """
    whole = PARTS.get(kind_of(config), {})
    if part in whole:
        return find(whole, part)(Config(config), dtype=dtype)
    if not isinstance(config.get(part), dict):
        parts = ", ".join(parts_of(config)) or "none"
        raise ValueError(f"a {kind_of(config)!r} checkpoint has no part {part!r}; its parts are {parts}")
    return build_component(config[part], dtype=dtype)


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
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    if dtype is not None:
        params = jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, params)
    if isinstance(model, Component):
        write_published(path, model.published, params)
        return
    family = model.family
    if family.published is not None:
        write_published(path, family.published, params)
        family.tokenizer.save(path)
        return
    safetensors.save(path / "model.safetensors", _kept(model, params), metadata={"format": "unified_jax"})
    family.tokenizer.save(path / "tokenizer.json")
    config = {"model_type": family.name, "arguments": dict(family.arguments)}
    write_text(path / "config.json", json.dumps(config, indent=2) + "\n")


@dataclasses.dataclass(frozen=True, eq=False)
class Opened:
    """A checkpoint whose weights are still on disk. model: or a component. read: shapes of its parameters, with
    shardings or without -> the parameters.
    """

    model: Any
    read: Callable[[Place], Any]


def from_pretrained(
    path: str | Path,
    *,
    dtype: DTypeLike = "float32",
    place: Place | None = None,
    part: str | None = None,
    **computation: Any,
) -> tuple[Any, Any]:
    """(model, params) of a checkpoint folder or a .gguf file; (component, params) of a component's folder.

    dtype: of a published model's computation; the library's own layout says it itself. place: gives shapes their
      shardings, ``lambda shapes: train.sharding.placed(shapes, mesh)``, to read parameters straight to their shards.
    part: which network of a folder that holds several, by the field of its config ("vision_config" of CLIP, say), or
      "connector" for what lies between an encoder and a language model.
    computation: of a published decoder, attention="auto" and the like (``lm.computed``); length=8192 where sequences
      are longer than its pretraining's and its rotary positions are "dynamic" or "longrope" (``read_rope``).
    Raises FileNotFoundError or ValueError in one clear line.
    """
    opened = open_pretrained(path, dtype=dtype, part=part, **computation)
    return opened.model, opened.read(place or (lambda shapes: shapes))


def open_pretrained(
    path: str | Path, *, dtype: DTypeLike = "float32", part: str | None = None, **computation: Any
) -> Opened:
    """What ``from_pretrained`` reads, weights only when they are asked for."""
    path = Path(path)
    if path.suffix == ".gguf":
        checkpoint = open_gguf(path)
        model = build_published(checkpoint.config, of_gguf(checkpoint), dtype=dtype, **computation)
        return Opened(model, lambda place: read_published(checkpoint, model.family.published, place(_shapes(model))))
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such checkpoint folder (nothing is downloaded here)")
    config = read_config(path)
    if computation and (part is not None or kind_of(config) not in SYSTEMS | DECODERS or "arguments" in config):
        raise ValueError(f"{path}: {', '.join(computation)} can be chosen for published decoders only")
    if part is not None:
        component, weights = build_part(config, part, dtype=dtype), folder.open_folder(path)
        return Opened(component, lambda place: read_part(weights, component.published, place(component.shapes())))
    if kind_of(config) in COMPONENTS:
        component = build_component(config, dtype=dtype)
        return _opened(path, component, component.published, component.shapes)
    if config.get("arguments") is None:
        _check_model(path, config)
        model = build_published(config, read_beside(path, config), dtype=dtype, **computation)
        return _opened(path, model, model.family.published, partial(_shapes, model))
    for name in ("tokenizer.json", "model.safetensors"):
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path}: not a checkpoint folder of this library (it has no {name})")
    model = build(config["model_type"], Tokenizer.load(path / "tokenizer.json"), dict(config["arguments"]))
    return Opened(model, lambda place: safetensors.load(path / "model.safetensors", place(_shapes(model))))


def _opened(path: Path, model: Any, published: Published, shapes: Callable[[], Any]) -> Opened:
    """Of a published folder."""
    checkpoint = folder.open_folder(path, stems=published.stems)
    return Opened(model, lambda place: read_published(checkpoint, published, place(shapes())))


def _check_model(path: Path, config: Mapping[str, Any]) -> None:
    """Raises ValueError where the folder is no model's, with the parts to choose from where it holds some."""
    kind = kind_of(config)
    if kind in SYSTEMS | DECODERS:
        return
    if parts := parts_of(config):
        choice = " or ".join(f"part={part!r}" for part in parts)
        raise ValueError(f"{path}: a {kind!r} checkpoint holds several networks; choose {choice}")
    raise ValueError(f"{path}: unknown model_type {kind!r}; known are {', '.join([*SYSTEMS, *DECODERS, *COMPONENTS])}")


def _kept(model: Any, params: Any) -> Any:
    """What the folder must hold: the parameters of the model that it will build, and of no network beside it."""
    family = model.family
    rebuilt = build(family.name, family.tokenizer, dict(family.arguments))
    return {name: params[name] for name in _shapes(rebuilt)}


def _shapes(model: Any) -> Any:
    return jax.eval_shape(lambda: parameters(model, jax.random.key(0)))


def _tuples(value: Any) -> Any:
    """JSON has no tuples; modules want them (lists have no hash)."""
    if isinstance(value, list):
        return tuple(_tuples(x) for x in value)
    return {key: _tuples(x) for key, x in value.items()} if isinstance(value, dict) else value
