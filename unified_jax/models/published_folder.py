"""Folders in the published layout: what lies in one beside the weights, and the weights as a parameter tree.

config.json, *.safetensors                            what the network is, and its tensors
tokenizer.json, tokenizer_config.json, ...            its words
preprocessor_config.json or processor_config.json     what becomes of a picture before it is seen
generation_config.json                                which ids end a text
llm_config.json, vit_config.json                      its parts (BAGEL)
phi/config.json, magvitv2/config.json                 its parts (Show-o)
vae/config.json                                       its codec (JanusFlow, Show-o2)
llm/config.json, siglip/config.json, ...              its parts (Show-o2)
"""

import dataclasses
import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unified_jax.core.files import read_json, write_text
from unified_jax.data.chat import ChatTokenizer
from unified_jax.data.preprocess import preprocess_of
from unified_jax.interop import convert, folder
from unified_jax.interop.checkpoint import Checkpoint, Tensor
from unified_jax.models.published import Beside, Published
from unified_jax.models.tables import kind_of

FILES = (
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "llm_config.json",
    "vit_config.json",
    "phi/config.json",
    "magvitv2/config.json",
    "vae/config.json",
    "llm/config.json",
    "siglip/config.json",
    "diffusion_head/config.json",
)


def read_config(path: Path) -> dict[str, Any]:
    """The ``config.json`` of a folder. Raises FileNotFoundError where there is none, ValueError where it is none."""
    file = path / "config.json"
    if not file.is_file():
        inside = sorted(found.parent.name for found in path.glob(f"*/{file.name}"))
        hint = f"; of its folders, these have one: {', '.join(inside)}" if inside else ""
        raise FileNotFoundError(f"{path}: not a checkpoint folder (it has no {file.name}){hint}")
    config = read_json(file)
    if kind_of(config) is None:
        raise ValueError(f"{file}: not a config (it has neither model_type nor _class_name)")
    return config


def read_beside(path: Path, config: Mapping[str, Any]) -> Beside:
    """What lies beside the weights of a folder with this config. Raises ValueError as ``preprocess_of``."""
    files = {name: read_json(path / name) for name in FILES if (path / name).is_file()}
    stop = _stop(files.get("generation_config.json", {}), config)
    return describe(files, ChatTokenizer.load(path, stop=stop))


def describe(files: Mapping[str, Any], tokenizer: ChatTokenizer) -> Beside:
    """What lies beside the weights, of a folder's files by name. Raises ValueError as ``preprocess_of``."""
    # Since transformers 5 one file describes all that a processor does, the picture's part among it.
    whole = files.get("processor_config.json", {}).get("image_processor")
    pictures = files.get("preprocessor_config.json", whole)
    return Beside(tokenizer, None if pictures is None else preprocess_of(pictures), files)


def of_gguf(checkpoint: Any) -> Beside:
    """What a .gguf file holds beside its weights."""
    backend, config = checkpoint.tokenizer(), checkpoint.config
    ids = {key.removesuffix("_id"): config[key] for key in ("bos_token_id", "eos_token_id") if key in config}
    special = {name: backend.id_to_token(id) for name, id in ids.items()}
    add_bos = bool(checkpoint.metadata.get("tokenizer.ggml.add_bos_token", False))
    stop, template = _stop({}, config), checkpoint.chat_template
    return Beside(ChatTokenizer(backend, stop=stop, template=template, special=special, add_bos=add_bos))


def read_published(checkpoint: Checkpoint, published: Published, shapes: Any) -> Any:
    """The parameters, where ``shapes`` says. Raises ValueError for all that does not fit, at once."""
    rules, source = published.rules, str(checkpoint.path)
    tensors = {published.name_today(name): tensor for name, tensor in checkpoint.tensors.items()}
    if len(tensors) < len(checkpoint.tensors):
        raise ValueError(f"{source}: holds the network twice, under names with and without {published.prefix!r}")
    skip = "|".join(filter(None, [published.skip, *map(re.escape, published.constants)]))
    return convert.load(tensors, shapes, rules=rules, skip=skip, source=source)


def read_part(checkpoint: Checkpoint, published: Published, shapes: Any) -> Any:
    """The parameters of one network of a file that holds several."""
    within = {name: x for name, x in checkpoint.tensors.items() if published.has(name)}
    return read_published(dataclasses.replace(checkpoint, tensors=within), published, shapes)


def write_published(path: Path, published: Published, params: Any) -> None:
    """Config, weights and ``published.files`` as the model came."""
    constants = {name: Tensor(x.shape, x.dtype, partial(np.asarray, x)) for name, x in published.constants.items()}
    tensors = convert.export(params, rules=published.rules) | constants
    files = {published.stem: tensors}
    if published.stems:
        of_file = lambda begin: {name.removeprefix(begin): x for name, x in tensors.items() if name.startswith(begin)}
        files = {stem: of_file(f"{stem}.") for stem in published.stems}
    for name in (*files, *published.files):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
    for stem, own in files.items():
        folder.write_folder(path, own, config=published.config, stem=stem)
    for name, content in published.files.items():
        write_text(path / name, json.dumps(content, indent=2) + "\n")


def _stop(generation: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[int, ...]:
    """The ids that end a text: those of ``generation_config.json``, or else of the config, or of its text side."""
    text = config.get("text_config") or {}
    found = generation.get("eos_token_id", config.get("eos_token_id", text.get("eos_token_id")))
    return () if found is None else tuple(found) if isinstance(found, list) else (found,)
