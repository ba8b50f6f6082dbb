"""Phi-1 to Phi-2: attention and feed-forward side by side, half of each head turned (arXiv:2306.11644, section 2)."""

from functools import partial

from unified_jax.core.types import DTypeLike
from unified_jax.models.decoders import llama
from unified_jax.models.decoders.causal_lm import Decoder
from unified_jax.models.published import Config
from unified_jax.nn.mlp import Mlp, find_activation
from unified_jax.nn.norm import LayerNorm
from unified_jax.nn.parallel_block import ParallelBlock


def phi(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``PhiForCausalLM``."""
    norm = partial(LayerNorm, config["layer_norm_eps"])
    stack = llama.stack(
        Config({"partial_rotary_factor": 0.5, **config}),  # the reference's own default, which early files leave out
        block=ParallelBlock,
        mlp=partial(Mlp, config["intermediate_size"], find_activation(config["hidden_act"]), dtype=dtype),
        norm=norm,
        qk_norm=norm if config.get("qk_layernorm") else None,
        qkv_bias=True,
        out_bias=True,
        dtype=dtype,
    )
    return Decoder(stack, RULES, head_bias=True)


RULES = (
    *llama.TOKENS,
    *llama.QKV,
    *llama.out(f"{llama.LAYER}.self_attn.dense", "backbone/layer/o_main"),
    *llama.norm(f"{llama.LAYER}.self_attn.q_layernorm", "backbone/layer/q_norm_main"),
    *llama.norm(f"{llama.LAYER}.self_attn.k_layernorm", "backbone/layer/k_norm_main"),
    *llama.norm(f"{llama.LAYER}.input_layernorm", "backbone/layer/norm_main"),
    *llama.norm("model.final_layernorm", "backbone/norm_main"),
    *llama.dense(f"{llama.LAYER}.mlp.fc1", "backbone/layer/mlp_main/up"),
    *llama.dense(f"{llama.LAYER}.mlp.fc2", "backbone/layer/mlp_main/down"),
)
