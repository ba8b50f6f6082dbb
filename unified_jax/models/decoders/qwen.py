"""Qwen2, Qwen2.5 (arXiv:2407.10671, 2412.15115), the text side of Qwen2.5-VL (arXiv:2502.13923, section 2.1), Qwen3 and
Qwen3-MoE (arXiv:2505.09388, section 2).
"""

from functools import partial

from unified_jax.core.types import DTypeLike
from unified_jax.interop.rules import Rule
from unified_jax.models.decoders import llama
from unified_jax.models.decoders.causal_lm import Decoder
from unified_jax.models.decoders.runs import in_runs
from unified_jax.models.published import Config
from unified_jax.nn.grid_rope import GridRope
from unified_jax.nn.mlp import find_activation
from unified_jax.nn.moe import Moe
from unified_jax.nn.moe_block import MoeBlock
from unified_jax.nn.norm import RMSNorm

# transformers' own, for configs that are published as differences from them.
DEFAULTS = llama.DEFAULTS | {"vocab_size": 151_936, "intermediate_size": 22_016, "max_position_embeddings": 32_768}
VL_DEFAULTS = DEFAULTS | {
    "vocab_size": 152_064,
    "hidden_size": 8192,
    "intermediate_size": 29_568,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e6,
}


def qwen2(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``Qwen2ForCausalLM``, which is Qwen2.5 too: biases on queries, keys and values alone."""
    windows = llama.by_layer_type(config)
    return Decoder(llama.stack(config, qkv_bias=True, windows=windows, dtype=dtype), llama.RULES)


def qwen2_5_vl_text(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``Qwen2_5_VLTextModel``: Qwen2 with rotary positions of three axes. Raises ValueError for sliding windows, which
    would count slots where we count sequence indices.
    """
    if config.get("use_sliding_window"):
        raise ValueError("use_sliding_window true: a qwen2_5_vl model with sliding windows is not supported")
    stack = llama.stack(config, qkv_bias=True, dtype=dtype)
    return Decoder(stack.clone(rope=GridRope(stack.rope)), llama.RULES)


def qwen3(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``Qwen3ForCausalLM``: every head of q and k normalised, no biases."""
    return Decoder(llama.stack(config, windows=llama.by_layer_type(config), dtype=dtype, **_heads(config)), llama.RULES)


def qwen3_moe(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``Qwen3MoeForCausalLM``, whose layers have experts or, where the config says so, one feed-forward piece."""
    experts = partial(
        Moe,
        num_experts=config.get("num_experts") or config["num_local_experts"],
        top_k=config["num_experts_per_tok"],
        hidden=config["moe_intermediate_size"],
        activation=find_activation(config["hidden_act"]),
        normalize=config["norm_topk_prob"],
        dtype=dtype,
    )
    windows = llama.everywhere(config) if config.get("use_sliding_window") else ()
    stack = partial(llama.stack, config, windows=windows, dtype=dtype, **_heads(config))
    dense, sparse = Decoder(stack(), llama.RULES), Decoder(stack(block=MoeBlock, mlp=experts), MOE_RULES)
    return in_runs([sparse if _has_experts(config, i) else dense for i in range(config["num_hidden_layers"])])


def _has_experts(config: Config, layer: int) -> bool:
    alone, every = config.get("mlp_only_layers") or (), config.get("decoder_sparse_step", 1)
    return layer not in alone and (layer + 1) % every == 0


def _heads(config: Config) -> dict:
    bias = config.get("attention_bias", False)
    return {"qk_norm": partial(RMSNorm, config["rms_norm_eps"]), "qkv_bias": bias, "out_bias": bias}


MOE_RULES = (
    *llama.TOKENS,
    *llama.ATTENTION,
    *llama.NORMS,
    Rule(f"{llama.LAYER}.mlp.gate.weight", "backbone/layer/mlp_main/router/kernel", "e d -> d e"),
    *(
        Rule(
            rf"{llama.LAYER}.mlp.experts.(\d+).{name}_proj.weight",
            f"backbone/layer/mlp_main/experts/{name}/kernel",
            "f d -> d f",
        )
        for name in ("gate", "up", "down")
    ),
)
