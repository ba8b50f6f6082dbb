"""Llama, Mistral and the decoders built like them (arXiv:2302.13971, section 2.2; arXiv:2407.21783, section 3.2)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, heads, norm, out
from unified_jax.interop.rules import Rule
from unified_jax.models.decoders.causal_lm import Decoder
from unified_jax.models.decoders.rope_parameters import read_rope
from unified_jax.models.published import Config
from unified_jax.nn.block import Block
from unified_jax.nn.mlp import GatedMlp, find_activation
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.stack import Stack

# transformers' own, for configs that are published as differences from them.
DEFAULTS = {
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10_000.0,
}


def llama(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``LlamaForCausalLM``."""
    bias = config.get("attention_bias", False)
    return Decoder(stack(config, qkv_bias=bias, out_bias=bias, dtype=dtype), RULES, skip=SKIP)


def mistral(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``MistralForCausalLM``: one window for all layers."""
    return Decoder(stack(config, windows=everywhere(config), dtype=dtype), RULES)


def stack(
    config: Config,
    *,
    dtype: DTypeLike,
    block: Callable[..., nn.Module] = Block,
    mlp: Callable[..., nn.Module] | None = None,
    norm: Callable[..., nn.Module] | None = None,
    windows: tuple[int | None, ...] = (),
    **fields: Any,
) -> Stack:
    """The layers of a config in the common field names.

    mlp, norm: partials, unless they are what Llama has; ``norm`` stands before each piece and at the end. fields: of
      the block, in place of those given here.
    """
    heads, norm = config["num_attention_heads"], norm or partial(RMSNorm, config["rms_norm_eps"])
    body = {
        "num_heads": heads,
        "num_kv_heads": config.get("num_key_value_heads") or heads,
        "head_dim": config.get("head_dim") or config["hidden_size"] // heads,
        "pre_norm": norm,
        "mlp": mlp or gated_mlp(config, config["intermediate_size"], dtype=dtype),
        "route": {"main": "main"},
        "dtype": dtype,
    }
    rope = read_rope(config)
    return Stack(partial(block, **body | fields), config["num_hidden_layers"], rope, windows=windows, norm=norm)


def gated_mlp(config: Mapping[str, Any], hidden: int, *, dtype: DTypeLike) -> Callable[..., nn.Module]:
    """The feed-forward piece of width ``hidden``."""
    activation = find_activation(config["hidden_act"])
    return partial(GatedMlp, hidden, activation, use_bias=config.get("mlp_bias", False), dtype=dtype)


def everywhere(config: Config) -> tuple[int | None, ...]:
    """The windows of a model whose layers all have the same, or none."""
    window = config.get("sliding_window")
    return (window,) * config["num_hidden_layers"] if window else ()


def by_layer_type(config: Config) -> tuple[int | None, ...]:
    """The windows of a model that lists the type of every layer. Raises ValueError for an unknown type."""
    windows = {"full_attention": None, "sliding_attention": config.get("sliding_window")}
    types = config.get("layer_types") or ["full_attention"] * config["num_hidden_layers"]
    if unknown := sorted(set(types) - set(windows)):
        raise ValueError(f"layer_types hold {unknown[0]!r}; known are {', '.join(windows)}")
    return tuple(windows[kind] for kind in types) if any(windows[kind] for kind in types) else ()


LAYER = r"model.layers.(\d+)"

# Names that many published decoders share; a rule whose parameters a model lacks does nothing.
TOKENS = (Rule("model.embed_tokens.weight", "embed_text/table"), *dense("lm_head", "heads_text/out"))
QKV = tuple(rule for x in "qkv" for rule in heads(f"{LAYER}.self_attn.{x}_proj", f"backbone/layer/{x}_main"))
ATTENTION = (
    *QKV,
    *out(f"{LAYER}.self_attn.o_proj", "backbone/layer/o_main"),
    *norm(f"{LAYER}.self_attn.q_norm", "backbone/layer/q_norm_main"),
    *norm(f"{LAYER}.self_attn.k_norm", "backbone/layer/k_norm_main"),
)
LAYER_NORMS = (
    *norm(f"{LAYER}.input_layernorm", "backbone/layer/attn_norm_main"),
    *norm(f"{LAYER}.post_attention_layernorm", "backbone/layer/mlp_norm_main"),
)
NORMS = (*LAYER_NORMS, *norm("model.norm", "backbone/norm_main"))
MLP = tuple(
    rule
    for name in ("gate", "up", "down")
    for rule in dense(f"{LAYER}.mlp.{name}_proj", f"backbone/layer/mlp_main/{name}")
)
RULES = (*TOKENS, *ATTENTION, *NORMS, *MLP)
SKIP = r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"  # tables that early files stored
