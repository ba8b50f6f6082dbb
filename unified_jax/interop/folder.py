"""Checkpoint folders in the published layout: config.json, and safetensors in one file or in shards with an index.

    config.json
    model.safetensors                                          or
    model-00001-of-00002.safetensors ... model.safetensors.index.json

Diffusers calls its files ``diffusion_pytorch_model`` instead of ``model``. A variant (``model.fp16.safetensors``, or
shards by ``model.safetensors.index.fp16.json``) is read where there is nothing else. Nothing is ever unpickled.

Systems that were published as several files, each a network, are read from files of given stems, in safetensors or as
``torch.save`` wrote them (``torch_file.py``), and written as safetensors.
"""

import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from unified_jax.core.files import read_json, write_text
from unified_jax.interop.checkpoint import Checkpoint, Tensor
from unified_jax.interop.torch_file import open_torch_file

STEMS = ("model", "diffusion_pytorch_model")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def open_folder(path: str | Path, *, stems: Sequence[str] = ()) -> Checkpoint:
    """Opens the folder: headers are read, tensors are not.

    stems: of the files, where each holds a network of its own; its tensors are then called "<stem>.<name>".
    Raises FileNotFoundError where there is no such folder, config or shard; ValueError where a file is damaged, where
    index and shards disagree, and where the weights are pickled or only there in several variants.
    """
    path = Path(path)
    if path.is_file() and any(path.match(kind) for kind in PICKLES):
        raise ValueError(_pickled(path))
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such checkpoint folder")
    tensors = _open_together(path, stems) if stems else _open_weights(path)
    return Checkpoint(path, _read_json(path / "config.json"), tensors)


def write_folder(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    *,
    config: Mapping[str, Any],
    stem: str = "model",
    max_shard_bytes: int = 5 * 10**9,
) -> None:
    """Writes the folder; one shard is in memory at a time.

    Every file appears whole or not at all. Old weights go when all the new ones are on disk, and the index comes last:
    an interrupted call leaves the old folder, or one that ``open_folder`` refuses, never a mixture.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    shards = _shards(tensors, max_shard_bytes)
    names = [f"{stem}-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
    if len(shards) == 1:
        names = [f"{stem}.safetensors"]
    for name, keys in zip(names, shards):
        values = {key: np.asarray(tensors[key].read(), order="C") for key in keys}
        save_file(values, path / f"{name}.tmp", metadata={"format": "pt"})
    index = path / f"{stem}.safetensors.index.json"
    for old in (index, path / f"{stem}.safetensors", *path.glob(f"{stem}-*-of-*.safetensors")):
        old.unlink(missing_ok=True)
    write_text(path / "config.json", json.dumps(dict(config), indent=2) + "\n")
    for name in names:
        os.replace(path / f"{name}.tmp", path / name)
    if len(shards) > 1:
        size = sum(map(_bytes, tensors.values()))
        where = {key: name for name, keys in zip(names, shards) for key in keys}
        write_text(index, json.dumps({"metadata": {"total_size": size}, "weight_map": where}, indent=2) + "\n")


def _open_together(path: Path, stems: Sequence[str]) -> dict[str, Tensor]:
    tensors = {}
    for stem in stems:
        found = _open_stem(path, stem)
        if found is None:
            pickled = sorted(file for kind in PICKLES for file in path.glob(kind.replace("*", stem)))
            if not pickled:
                kinds = ", ".join(kind.replace("*", stem) for kind in PICKLES)
                raise FileNotFoundError(f"{path}: no {stem}.safetensors, nor any of {kinds}")
            found = open_torch_file(pickled[0])
        tensors |= {f"{stem}.{name}": tensor for name, tensor in found.items()}
    return tensors


def _open_weights(path: Path) -> dict[str, Tensor]:
    for stem in STEMS:
        if (found := _open_stem(path, stem)) is not None:
            return found
    variants = _variants(path)
    if len(variants) > 1:
        raise ValueError(f"{path}: holds {' and '.join(file.name for file in variants)}; keep one of them")
    if variants:
        return (_open_shards if variants[0].suffix == ".json" else _open_file)(variants[0])
    pickles = [file for kind in PICKLES for file in sorted(path.glob(kind))]
    if pickles:
        raise ValueError(_pickled(pickles[0]))
    raise FileNotFoundError(f"{path}: no {' or '.join(f'{stem}.safetensors' for stem in STEMS)}, whole or with index")


def _open_stem(path: Path, stem: str) -> dict[str, Tensor] | None:
    """Safetensors called so, whole or in shards; None where there are none."""
    single, index = path / f"{stem}.safetensors", path / f"{stem}.safetensors.index.json"
    if single.is_file():
        return _open_file(single)
    return _open_shards(index) if index.is_file() else None


def _variants(path: Path) -> list[Path]:
    """Single files and indices of shards whose names hold one more word than usual."""
    patterns = [x for stem in STEMS for x in (f"{stem}.*.safetensors", f"{stem}.safetensors.index.*.json")]
    found = [file for pattern in patterns for file in sorted(path.glob(pattern))]
    return [file for file in found if "-of-" not in file.name]


def _open_shards(index: Path) -> dict[str, Tensor]:
    where = _read_json(index).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(file, str) for file in where.values()):
        raise ValueError(f"{index}: no weight_map from tensors to files")
    tensors = {}
    for file in sorted(set(where.values())):
        if Path(file).name != file:
            raise ValueError(f"{index}: {file!r} is not a file of this folder")
        if not (index.parent / file).is_file():
            raise FileNotFoundError(f"{index}: names {file}, which is not there")
        found = _open_file(index.parent / file)
        differ = sorted(set(found) ^ {key for key, shard in where.items() if shard == file})
        if differ:
            raise ValueError(f"{index}: disagrees with {file} on {', '.join(differ[:3])} ({len(differ)} tensors)")
        tensors |= found
    return tensors


def _open_file(path: Path) -> dict[str, Tensor]:
    try:
        file = safe_open(path, framework="numpy")
        slices = {key: file.get_slice(key) for key in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"{path}: truncated, damaged or not a safetensors file ({error})") from None
    unknown = {x.get_dtype() for x in slices.values()} - set(DTYPES)
    if unknown:
        raise ValueError(f"{path}: stores {', '.join(sorted(unknown))}; known are {', '.join(DTYPES)}")
    return {
        key: Tensor(tuple(x.get_shape()), np.dtype(DTYPES[x.get_dtype()]), partial(file.get_tensor, key))
        for key, x in slices.items()
    }


def _shards(tensors: Mapping[str, Tensor], max_bytes: int) -> list[list[str]]:
    """Names in their order, as many to a shard as fit; a tensor larger than a shard has one of its own."""
    shards, size = [[]], 0
    for name, tensor in tensors.items():
        if shards[-1] and size + _bytes(tensor) > max_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += _bytes(tensor)
    return shards


def _bytes(tensor: Tensor) -> int:
    return int(np.prod(tensor.shape, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent}: not a checkpoint folder (it has no {path.name})")
    return read_json(path)


def _pickled(path: Path) -> str:
    return f"{path}: pickled weights can run code when they are read; convert them to safetensors first"
