"""Gemma 2: norms before and after, capped scores and logits, every other layer local (arXiv:2408.00118, section 2)."""

from functools import partial

from unified_jax.core.types import DTypeLike
from unified_jax.models.decoders import llama
from unified_jax.models.decoders.causal_lm import Decoder
from unified_jax.models.published import Config
from unified_jax.nn.norm import RMSNorm


def gemma2(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``Gemma2ForCausalLM``."""
    norm, bias = partial(RMSNorm, config["rms_norm_eps"], offset=1.0), config.get("attention_bias", False)
    stack = llama.stack(
        Config({"hidden_act": config["hidden_activation"], **config}),
        norm=norm,
        post_norm=norm,
        windows=llama.by_layer_type(config),
        scale=config["query_pre_attn_scalar"] ** -0.5,
        softcap=config["attn_logit_softcapping"],
        qkv_bias=bias,
        out_bias=bias,
        dtype=dtype,
    )
    multiplier = config["hidden_size"] ** 0.5
    return Decoder(stack, RULES, multiplier=multiplier, softcap=config["final_logit_softcapping"])


RULES = (
    *llama.TOKENS,
    *llama.ATTENTION,
    *llama.MLP,
    *llama.norm(f"{llama.LAYER}.input_layernorm", "backbone/layer/attn_norm_main"),
    *llama.norm(f"{llama.LAYER}.post_attention_layernorm", "backbone/layer/attn_post_norm_main"),
    *llama.norm(f"{llama.LAYER}.pre_feedforward_layernorm", "backbone/layer/mlp_norm_main"),
    *llama.norm(f"{llama.LAYER}.post_feedforward_layernorm", "backbone/layer/mlp_post_norm_main"),
    *llama.norm("model.norm", "backbone/norm_main"),
)
