"""GGUF metadata as a published ``config.json``, and GGUF's names as those of a published folder."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

EMBEDDING = "token_embd.weight"

# GGUF's own names -> those of the published folders.
NAMES = {
    r"token_embd\.weight": "model.embed_tokens.weight",
    r"output_norm\.weight": "model.norm.weight",
    r"output\.weight": "lm_head.weight",
    r"blk\.(\d+)\.attn_norm\.weight": r"model.layers.\1.input_layernorm.weight",
    r"blk\.(\d+)\.attn_(q|k|v)\.(weight|bias)": r"model.layers.\1.self_attn.\2_proj.\3",
    r"blk\.(\d+)\.attn_(q|k)_norm\.weight": r"model.layers.\1.self_attn.\2_norm.weight",
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
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "max_position_embeddings": "context_length",
}

TOKENS = {
    "bos_token_id": "tokenizer.ggml.bos_token_id",
    "eos_token_id": "tokenizer.ggml.eos_token_id",
    "pad_token_id": "tokenizer.ggml.padding_token_id",
}


@dataclass(frozen=True)
class Architecture:
    """paired: whether rows of q and k are stored as rotary pairs side by side; published folders have two halves per
    head. biases: fields of the config that say whether there are some -> one of their tensors.
    """

    paired: bool = False
    biases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


# By general.architecture, which is the model_type of these.
ARCHITECTURES = {
    "llama": Architecture(paired=True, biases={"attention_bias": "blk.0.attn_q.bias", "mlp_bias": "blk.0.ffn_up.bias"}),
    "qwen2": Architecture(),
    "qwen3": Architecture(biases={"attention_bias": "blk.0.attn_q.bias"}),
}


def read_config(metadata: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The fields of a ``config.json`` that a file gives, but for the size of its vocabulary. names: of its tensors.

    Raises ValueError for an architecture whose row order is not known, for scaled rotary positions, and for a file that
    lacks something.
    """
    name = metadata.get("general.architecture")
    if name not in ARCHITECTURES:
        raise ValueError(f"architecture {name!r} is not known; known are {', '.join(ARCHITECTURES)}")
    own = {key.removeprefix(f"{name}."): value for key, value in metadata.items() if key.startswith(f"{name}.")}
    if (scaling := own.get("rope.scaling.type", "none")) != "none":
        raise ValueError(f"rotary scaling {scaling!r} is not supported")
    absent = [f"{name}.{key}" for key in FIELDS.values() if key not in own]
    if absent := absent + [tensor for tensor in (EMBEDDING,) if tensor not in names]:
        raise ValueError(f"the file lacks {', '.join(absent)}")
    return {
        "model_type": name,
        **{field: own[key] for field, key in FIELDS.items()},
        "head_dim": _head_dim(own),
        "rope_parameters": {"rope_type": "default", "rope_theta": own.get("rope.freq_base", 10_000.0)},
        "hidden_act": "silu",
        **{field: bias in names for field, bias in ARCHITECTURES[name].biases.items()},
        "tie_word_embeddings": "output.weight" not in names,
        **{field: metadata[key] for field, key in TOKENS.items() if key in metadata},
    }


def published_name(name: str) -> str:
    """The published name; a tensor that no line of the table knows keeps its own, for the rules to refuse."""
    for pattern, published in NAMES.items():
        if match := re.fullmatch(pattern, name):
            return match.expand(published)
    return name


def _head_dim(own: Mapping[str, Any]) -> int:
    """own: keys below the architecture's name. Raises ValueError where only a part of every head turns."""
    turning = own.get("rope.dimension_count")
    size = own.get("attention.key_length", turning or own["embedding_length"] // own["attention.head_count"])
    if turning not in (None, size):
        raise ValueError(f"heads of {size} channels of which {turning} turn are not supported")
    return size
