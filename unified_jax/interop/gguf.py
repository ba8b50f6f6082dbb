"""GGUF files: hyperparameters, tokenizer and quantised weights in one file, read as a published checkpoint.

Layout: magic, version, counts; key/value metadata; name, shape, type and offset of every tensor; aligned data.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import einops
import numpy as np
import tokenizers

from unified_jax.interop.checkpoint import Checkpoint, Tensor
from unified_jax.interop.gguf_config import ARCHITECTURES, EMBEDDING, published_name, read_config
from unified_jax.interop.gguf_packing import PACKINGS
from unified_jax.interop.gguf_tokenizer import read_tokenizer

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
LENGTH = struct.Struct("<Q")


@dataclass(frozen=True)
class GgufCheckpoint(Checkpoint):
    """A checkpoint with all metadata of its file. Tensors are float32 when read, dequantised one at a time."""

    metadata: Mapping[str, Any]

    @property
    def chat_template(self) -> str | None:
        """The Jinja template of a conversation, where the file has one."""
        return self.metadata.get("tokenizer.chat_template")

    def tokenizer(self) -> tokenizers.Tokenizer:
        """The file's tokenizer, built anew. Raises ValueError for a kind that is not known."""
        return read_tokenizer(self.metadata)


def open_gguf(path: str | Path) -> GgufCheckpoint:
    """Opens the file: metadata is read, tensors are not. Names, shapes and row order are those of a published folder.

    Raises FileNotFoundError where there is no file; ValueError where it is damaged or truncated, of an architecture
    whose row order is not known, or stores a tensor in a way that is not known.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            metadata, infos = _read_header(file)
            alignment = metadata.get("general.alignment", 32)
            start = -(-file.tell() // alignment) * alignment
    except (struct.error, UnicodeDecodeError, KeyError, OverflowError, MemoryError) as error:
        raise ValueError(f"{path}: truncated, damaged or not a GGUF file ({error!r})") from None
    try:
        stored = {name: _stored(path, name, start=start, info=info) for name, info in infos.items()}
        config = read_config(metadata, stored)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    config["vocab_size"] = stored[EMBEDDING].shape[0]
    if ARCHITECTURES[config["model_type"]].paired:
        stored |= _unpaired(stored, {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]})
    return GgufCheckpoint(path, config, {published_name(name): tensor for name, tensor in stored.items()}, metadata)


def _read_header(file: BinaryIO) -> tuple[dict[str, Any], dict[str, tuple[tuple[int, ...], int, int]]]:
    """Metadata, and (shape, type, offset) of every tensor."""
    magic, version, tensors, pairs = struct.unpack("<4sIQQ", file.read(24))
    if magic != b"GGUF" or version not in (2, 3):
        raise KeyError(f"begins with {magic!r}, version {version}")
    metadata = {}
    for _ in range(pairs):
        key = _read_string(file)
        metadata[key] = _read_value(file, _read_scalar(file, "I"))
    infos = {}
    for _ in range(tensors):
        name, rank = _read_string(file), _read_scalar(file, "I")
        *shape, kind, offset = struct.unpack(f"<{rank}QIQ", file.read(8 * rank + 12))
        infos[name] = (tuple(reversed(shape)), kind, offset)
    return metadata, infos


def _read_scalar(file: BinaryIO, kind: str) -> Any:
    return struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))[0]


def _read_string(file: BinaryIO) -> str:
    return _read_strings(file, 1)[0]


def _read_strings(file: BinaryIO, count: int) -> list[str]:
    return [file.read(*LENGTH.unpack(file.read(8))).decode("utf-8") for _ in range(count)]


def _read_value(file: BinaryIO, kind: int) -> Any:
    if kind == STRING:
        return _read_string(file)
    if kind == ARRAY:
        kind, length = struct.unpack("<IQ", file.read(12))
        if kind == STRING:
            return _read_strings(file, length)
        numbers = struct.Struct(f"<{length}{SCALARS[kind]}")
        return list(numbers.unpack(file.read(numbers.size)))
    return _read_scalar(file, SCALARS[kind])


def _stored(path: Path, name: str, *, start: int, info: tuple[tuple[int, ...], int, int]) -> Tensor:
    shape, kind, offset = info
    if kind not in PACKINGS:
        known = ", ".join(packing.name for packing in PACKINGS.values())
        raise ValueError(f"{name} is stored as type {kind}; known are {known}")
    packing = PACKINGS[kind]
    blocks = int(np.prod(shape, dtype=np.int64)) // packing.size
    if start + offset + blocks * packing.block.itemsize > path.stat().st_size:
        raise ValueError(f"truncated: {name} lies beyond its end")

    def read() -> np.ndarray:
        stored = np.fromfile(path, packing.block, blocks, offset=start + offset)
        return packing.unpack(stored).reshape(shape)

    return Tensor(shape, np.dtype(np.float32), read)


def _unpaired(stored: Mapping[str, Tensor], heads: Mapping[str, int]) -> dict[str, Tensor]:
    """Those of q and k, whose rows are stored as rotary pairs side by side, with two halves per head."""
    found = {name: re.fullmatch(r"blk\.\d+\.attn_(q|k)\.(weight|bias)", name) for name in stored}
    return {name: _by_halves(stored[name], heads[match[1]]) for name, match in found.items() if match}


def _by_halves(tensor: Tensor, heads: int) -> Tensor:
    regroup = lambda: einops.rearrange(tensor.read(), "(h c two) ... -> (h two c) ...", h=heads, two=2)
    return replace(tensor, read=regroup)
