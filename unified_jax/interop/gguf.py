"""GGUF files: hyperparameters, tokenizer and quantised weights in one file, read as a published checkpoint.

Layout: magic, version, counts; key/value metadata; name, shape, type and offset of every tensor; aligned data.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; block formats: ggml-common.h of the same project.
"""

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import einops
import ml_dtypes
import numpy as np
import tokenizers

from unified_jax.core.types import Float
from unified_jax.interop.checkpoint import Checkpoint, Tensor
from unified_jax.interop.gguf_tokenizer import read_tokenizer

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
LENGTH = struct.Struct("<Q")

EMBEDDING = "token_embd.weight"

# GGUF's own names -> those of the published folders.
NAMES = {
    r"token_embd\.weight": "model.embed_tokens.weight",
    r"output_norm\.weight": "model.norm.weight",
    r"output\.weight": "lm_head.weight",
    r"blk\.(\d+)\.attn_norm\.weight": r"model.layers.\1.input_layernorm.weight",
    r"blk\.(\d+)\.attn_(q|k|v)\.(weight|bias)": r"model.layers.\1.self_attn.\2_proj.\3",
    r"blk\.(\d+)\.attn_output\.(weight|bias)": r"model.layers.\1.self_attn.o_proj.\2",
    r"blk\.(\d+)\.ffn_norm\.weight": r"model.layers.\1.post_attention_layernorm.weight",
    r"blk\.(\d+)\.ffn_(gate|up|down)\.(weight|bias)": r"model.layers.\1.mlp.\2_proj.\3",
}

# Fields of a published config -> the metadata key below the architecture's name.
FIELDS = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "rope.dimension_count",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "max_position_embeddings": "context_length",
}

TOKENS = {
    "bos_token_id": "tokenizer.ggml.bos_token_id",
    "eos_token_id": "tokenizer.ggml.eos_token_id",
    "pad_token_id": "tokenizer.ggml.padding_token_id",
}


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


@dataclass(frozen=True)
class Packing:
    """How numbers are stored: in blocks of ``size``, each a record of dtype ``block``, unpacked to [blocks size]."""

    size: int
    block: np.dtype
    unpack: Callable[[np.ndarray], Float[np.ndarray, "blocks size"]]


def _halves(codes: np.ndarray) -> np.ndarray:
    """uint8 [n 16] -> [n 32]: the low four bits of all, then the high four bits of all."""
    return np.concatenate([codes & 15, codes >> 4], -1).astype(np.float32)


def _scale(blocks: np.ndarray, field: str = "scale") -> np.ndarray:
    return blocks[field].astype(np.float32)[:, None]


def _plain(dtype: Any) -> Packing:
    return Packing(1, np.dtype(dtype), lambda blocks: blocks.astype(np.float32)[:, None])


Q4_0 = np.dtype([("scale", "<f2"), ("codes", "u1", 16)])
Q4_1 = np.dtype([("scale", "<f2"), ("least", "<f2"), ("codes", "u1", 16)])
Q8_0 = np.dtype([("scale", "<f2"), ("codes", "i1", 32)])

PACKINGS = {
    0: _plain("<f4"),
    1: _plain("<f2"),
    2: Packing(32, Q4_0, lambda blocks: _scale(blocks) * (_halves(blocks["codes"]) - 8)),
    3: Packing(32, Q4_1, lambda blocks: _scale(blocks) * _halves(blocks["codes"]) + _scale(blocks, "least")),
    8: Packing(32, Q8_0, lambda blocks: _scale(blocks) * blocks["codes"].astype(np.float32)),
    30: _plain(ml_dtypes.bfloat16),
}


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
    stored = {name: _stored(path, name, start=start, info=info) for name, info in infos.items()}
    config = _config(path, metadata, stored)
    heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
    for name, tensor in stored.items():
        if match := re.fullmatch(r"blk\.\d+\.attn_(q|k)\.(weight|bias)", name):
            stored[name] = _by_halves(tensor, heads[match[1]])
    return GgufCheckpoint(path, config, {_published_name(name): tensor for name, tensor in stored.items()}, metadata)


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
        raise ValueError(f"{path}: {name} is stored as type {kind}; known are F32, F16, BF16, Q4_0, Q4_1 and Q8_0")
    packing = PACKINGS[kind]
    blocks = int(np.prod(shape, dtype=np.int64)) // packing.size
    if start + offset + blocks * packing.block.itemsize > path.stat().st_size:
        raise ValueError(f"{path}: truncated: {name} lies beyond its end")

    def read() -> np.ndarray:
        stored = np.fromfile(path, packing.block, blocks, offset=start + offset)
        return packing.unpack(stored).reshape(shape)

    return Tensor(shape, np.dtype(np.float32), read)


def _config(path: Path, metadata: Mapping[str, Any], stored: Mapping[str, Tensor]) -> dict[str, Any]:
    """The fields of a published config.json that the metadata gives."""
    architecture = metadata.get("general.architecture")
    if architecture != "llama":  # others may order the rows of q and k in another way
        raise ValueError(f"{path}: architecture {architecture!r} is not known; 'llama' is")
    scaling = metadata.get(f"{architecture}.rope.scaling.type", "none")
    if scaling != "none":
        raise ValueError(f"{path}: rotary scaling {scaling!r} is not supported")
    keys = {field: f"{architecture}.{key}" for field, key in FIELDS.items()}
    absent = [key for key in keys.values() if key not in metadata] + [x for x in (EMBEDDING,) if x not in stored]
    if absent:
        raise ValueError(f"{path}: the file lacks {', '.join(absent)}")
    return {
        "model_type": architecture,
        **{field: metadata[key] for field, key in keys.items()},
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": metadata.get(f"{architecture}.rope.freq_base", 10_000.0),
        },
        "vocab_size": stored[EMBEDDING].shape[0],
        "hidden_act": "silu",
        "attention_bias": "blk.0.attn_q.bias" in stored,
        "mlp_bias": "blk.0.ffn_up.bias" in stored,
        "tie_word_embeddings": "output.weight" not in stored,
        **{field: metadata[key] for field, key in TOKENS.items() if key in metadata},
    }


def _published_name(name: str) -> str:
    """The published name; a tensor that no line of the table knows keeps its own, for the rules to refuse."""
    for pattern, published in NAMES.items():
        if match := re.fullmatch(pattern, name):
            return match.expand(published)
    return name


def _by_halves(tensor: Tensor, heads: int) -> Tensor:
    """Query and key rows are stored as rotary pairs side by side; published folders have two halves per head."""
    regroup = lambda: einops.rearrange(tensor.read(), "(h c two) ... -> (h two c) ...", h=heads, two=2)
    return replace(tensor, read=regroup)
