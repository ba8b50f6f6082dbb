"""Checkpoint folders, in and out: the library's own layout, and those of published models.

    own          config.json ({"model_type", "arguments"}), model.safetensors, tokenizer.json
    published    config.json and safetensors as transformers and diffusers write them, in one file or in shards;
                 or one .gguf file

``config.json`` names the family and its values; nothing in a folder is code, and nothing is unpickled.
"""

import dataclasses
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
from unified_jax.models import lm
from unified_jax.models.decoders.causal_lm import causal_lm
from unified_jax.models.published import Component, Config, Published

# Families in the library's own layout.
FAMILIES = {
    "transfusion": "unified_jax.models.transfusion.transfusion",
    "chameleon": "unified_jax.models.chameleon.chameleon",
    "vq": "unified_jax.models.vq.vq",
}

# Published language models, by model_type.
DECODERS = {
    "chameleon": "unified_jax.models.decoders.chameleon.chameleon",
    "gemma2": "unified_jax.models.decoders.gemma.gemma2",
    "llama": "unified_jax.models.decoders.llama.llama",
    "mistral": "unified_jax.models.decoders.llama.mistral",
    "mixtral": "unified_jax.models.decoders.mixtral.mixtral",
    "persimmon": "unified_jax.models.decoders.persimmon.persimmon",
    "phi": "unified_jax.models.decoders.phi.phi",
    "qwen2": "unified_jax.models.decoders.qwen.qwen2",
    "qwen3": "unified_jax.models.decoders.qwen.qwen3",
    "qwen3_moe": "unified_jax.models.decoders.qwen.qwen3_moe",
}

# Published pieces of larger systems: by the _class_name of diffusers, or the model_type of transformers.
COMPONENTS = {
    "AutoencoderDC": "unified_jax.models.codecs.deep.autoencoder_dc",
    "AutoencoderKL": "unified_jax.models.codecs.kl.autoencoder_kl",
    "AutoencoderKLQwenImage": "unified_jax.models.codecs.wan.qwen_image",
    "AutoencoderKLWan": "unified_jax.models.codecs.wan.wan",
    "blip_2_qformer": "unified_jax.models.encoders.blip2.blip2_qformer",
    "blip_2_vision_model": "unified_jax.models.encoders.blip2.blip2_vision",
    "chameleon_vqgan": "unified_jax.models.codecs.vqgan.chameleon_vqgan",
    "clip_text_model": "unified_jax.models.encoders.clip.clip_text",
    "clip_vision_model": "unified_jax.models.encoders.clip.clip_vision",
    "dinov2": "unified_jax.models.encoders.dinov2.dinov2",
    "dinov2_with_registers": "unified_jax.models.encoders.dinov2.dinov2_with_registers",
    "DiTTransformer2DModel": "unified_jax.models.denoisers.dit.dit",
    "emu3_vqgan": "unified_jax.models.codecs.emu3.emu3_vqgan",
    "FluxTransformer2DModel": "unified_jax.models.denoisers.flux.flux",
    "janus_vqgan": "unified_jax.models.codecs.vqgan.janus_vqgan",
    "Lumina2Transformer2DModel": "unified_jax.models.denoisers.lumina2.lumina2",
    "PixArtTransformer2DModel": "unified_jax.models.denoisers.pixart.pixart",
    "QwenImageTransformer2DModel": "unified_jax.models.denoisers.qwen_image.qwen_image",
    "SD3Transformer2DModel": "unified_jax.models.denoisers.sd3.sd3",
    "siglip2_vision_model": "unified_jax.models.encoders.siglip.siglip2_vision",
    "siglip_vision_model": "unified_jax.models.encoders.siglip.siglip_vision",
    "t5": "unified_jax.models.encoders.t5.t5",
    "umt5": "unified_jax.models.encoders.t5.umt5",
    "VQModel": "unified_jax.models.codecs.vq_model.vq_model",
}

# Networks of a published folder of several that its config has no field of their own for, or not all of: by the
# folder's model_type, and what ``part`` calls them.
PARTS = {
    "blip-2": {"connector": "unified_jax.models.connectors.blip2.blip2"},
    "clip": {
        "text_config": "unified_jax.models.encoders.clip.text_of_clip",
        "vision_config": "unified_jax.models.encoders.clip.vision_of_clip",
    },
    "idefics2": {"connector": "unified_jax.models.connectors.idefics2.idefics2"},
    "idefics3": {"connector": "unified_jax.models.connectors.projector.idefics3"},
    "internvl": {"connector": "unified_jax.models.connectors.projector.internvl"},
    "llava": {"connector": "unified_jax.models.connectors.projector.llava"},
    "qwen2_5_vl": {"connector": "unified_jax.models.connectors.projector.qwen2_5_vl"},
    "qwen2_vl": {"connector": "unified_jax.models.connectors.projector.qwen2_vl"},
    "smolvlm": {"connector": "unified_jax.models.connectors.projector.idefics3"},
}

Place = Callable[[Any], Any]  # shapes of a parameter tree -> the same with shardings


def build(name: str, tokenizer: Tokenizer, arguments: dict[str, Any]) -> Any:
    """The model of a family by name. Raises ValueError for an unknown family or argument."""
    function = _named(FAMILIES, name)
    try:
        return function(tokenizer, **{key: _tuples(value) for key, value in arguments.items()})
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from None


def build_published(
    config: Mapping[str, Any], tokenizer: ChatTokenizer, *, dtype: DTypeLike = "float32", **computation: Any
) -> Any:
    """The model of a published ``config.json``; computation: choices of ``lm.computed``.

    Raises ValueError for a model_type or a value that is not known.
    """
    config = Config(config)
    decoder = _named(DECODERS, config["model_type"])(config, dtype=dtype)
    decoder = dataclasses.replace(decoder, stack=lm.computed(decoder.stack, **computation))
    return causal_lm(decoder, config, tokenizer, dtype=dtype)


def build_component(config: Mapping[str, Any], *, dtype: DTypeLike = "float32") -> Component:
    """The network of a published ``config.json``. Raises ValueError for a kind or a value that is not known."""
    config = Config(config)
    return _named(COMPONENTS, _kind(config))(config, dtype=dtype)


def build_part(config: Mapping[str, Any], part: str, *, dtype: DTypeLike = "float32") -> Component:
    """One network of a published ``config.json`` that describes several.

    Raises ValueError for a part that there is not, and as ``build_component``.
    """
    whole = PARTS.get(_kind(config), {})
    if part in whole:
        return _named(whole, part)(Config(config), dtype=dtype)
    if not isinstance(config.get(part), dict):
        parts = {key for key, value in config.items() if isinstance(value, dict)} | set(whole)
        parts = ", ".join(sorted(parts)) or "none"
        raise ValueError(f"a {_kind(config)!r} checkpoint has no part {part!r}; its parts are {parts}")
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
        _write_published(path, model.published, params)
        return
    family = model.family
    if family.published is not None:
        _write_published(path, family.published, params)
        family.tokenizer.save(path)
        return
    safetensors.save(path / "model.safetensors", params, metadata={"format": "unified_jax"})
    family.tokenizer.save(path / "tokenizer.json")
    config = {"model_type": family.name, "arguments": dict(family.arguments)}
    write_text(path / "config.json", json.dumps(config, indent=2) + "\n")


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
    computation: of a published decoder, attention="auto" and the like (``lm.computed``).
    Raises FileNotFoundError or ValueError in one clear line.
    """
    path = Path(path)
    place = place or (lambda shapes: shapes)
    if path.suffix == ".gguf":
        checkpoint = open_gguf(path)
        return _from_published(checkpoint, _gguf_tokenizer(checkpoint), dtype, place, computation)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such checkpoint folder (nothing is downloaded here)")
    config = _read_config(path)
    if computation and (part is not None or config.get("model_type") not in DECODERS or "arguments" in config):
        raise ValueError(f"{path}: {', '.join(computation)} can be chosen for published decoders only")
    if part is not None:
        return _from_part(path, build_part(config, part, dtype=dtype), place)
    if _kind(config) in COMPONENTS:
        component = build_component(config, dtype=dtype)
        return component, _read_published(folder.open_folder(path), component.published, place(component.shapes()))
    if config.get("arguments") is None:
        _check_decoder(path, config)
        tokenizer = ChatTokenizer.load(path, stop=_stop(path, config))
        return _from_published(folder.open_folder(path), tokenizer, dtype, place, computation)
    for name in ("tokenizer.json", "model.safetensors"):
        if not (path / name).is_file():
            raise FileNotFoundError(f"{path}: not a checkpoint folder of this library (it has no {name})")
    model = build(config["model_type"], Tokenizer.load(path / "tokenizer.json"), dict(config["arguments"]))
    return model, safetensors.load(path / "model.safetensors", place(_shapes(model)))


def _from_published(
    checkpoint: Checkpoint, tokenizer: ChatTokenizer, dtype: DTypeLike, place: Place, computation: Mapping[str, Any]
) -> tuple[Any, Any]:
    model = build_published(checkpoint.config, tokenizer, dtype=dtype, **computation)
    return model, _read_published(checkpoint, model.family.published, place(_shapes(model)))


def _from_part(path: Path, component: Component, place: Place) -> tuple[Component, Any]:
    checkpoint = folder.open_folder(path)
    within = {name: x for name, x in checkpoint.tensors.items() if component.published.has(name)}
    checkpoint = dataclasses.replace(checkpoint, tensors=within)
    return component, _read_published(checkpoint, component.published, place(component.shapes()))


def _check_decoder(path: Path, config: Mapping[str, Any]) -> None:
    """Raises ValueError where the folder is no language model's, with the parts to choose from where it holds some."""
    kind = _kind(config)
    if kind in DECODERS:
        return
    parts = {key for key, value in config.items() if isinstance(value, dict) and _kind(value) in COMPONENTS}
    if parts := parts | set(PARTS.get(kind, {})):
        choice = " or ".join(f"part={part!r}" for part in sorted(parts))
        raise ValueError(f"{path}: a {kind!r} checkpoint holds several networks; choose {choice}")
    raise ValueError(f"{path}: unknown model_type {kind!r}; known are {', '.join([*DECODERS, *COMPONENTS])}")


def _read_published(checkpoint: Checkpoint, published: Published, shapes: Any) -> Any:
    rules, source = published.rules, str(checkpoint.path)
    tensors = {published.name_today(name): tensor for name, tensor in checkpoint.tensors.items()}
    if len(tensors) < len(checkpoint.tensors):
        raise ValueError(f"{source}: holds the network twice, under names with and without {published.prefix!r}")
    return convert.load(tensors, shapes, rules=rules, skip=published.skip, source=source)


def _write_published(path: Path, published: Published, params: Any) -> None:
    tensors = convert.export(params, rules=published.rules)
    folder.write_folder(path, tensors, config=published.config, stem=published.stem)


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
        inside = sorted(file.parent.name for file in path.glob(f"*/{name}"))
        hint = f"; of its folders, these have one: {', '.join(inside)}" if inside else ""
        raise FileNotFoundError(f"{path}: not a checkpoint folder (it has no {name}){hint}")
    config = read_json(path / name)
    if name == "config.json" and _kind(config) is None:
        raise ValueError(f"{path / name}: not a config (it has neither model_type nor _class_name)")
    return config


def _kind(config: Mapping[str, Any]) -> str | None:
    """What transformers or diffusers calls the network."""
    return config.get("_class_name", config.get("model_type"))


def _shapes(model: Any) -> Any:
    return jax.eval_shape(lambda: parameters(model, jax.random.key(0)))


def _named(table: Mapping[str, str], name: str) -> Callable[..., Any]:
    if name not in table:
        raise ValueError(f"unknown model_type {name!r}; known are {', '.join(table)}")
    file, _, function = table[name].rpartition(".")
    return getattr(importlib.import_module(file), function)


def _tuples(value: Any) -> Any:
    """JSON has no tuples; modules want them (lists have no hash)."""
    if isinstance(value, list):
        return tuple(_tuples(x) for x in value)
    return {key: _tuples(x) for key, x in value.items()} if isinstance(value, dict) else value
