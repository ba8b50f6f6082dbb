"""Persimmon, the decoder of Fuyu: squared ReLU, normalised heads, q, k and v in one matrix (adept.ai, 2023)."""

from functools import partial

from unified_jax.core.types import DTypeLike
from unified_jax.interop.rules import Rule
from unified_jax.models.decoders import llama
from unified_jax.models.decoders.causal_lm import Decoder
from unified_jax.models.published import Config
from unified_jax.nn.mlp import Mlp, find_activation
from unified_jax.nn.norm import LayerNorm


def persimmon(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``PersimmonForCausalLM``."""
    norm = partial(LayerNorm, config["layer_norm_eps"])
    stack = llama.stack(
        Config({"partial_rotary_factor": 0.5, **config}),  # the reference's own default, which early files leave out
        mlp=partial(Mlp, config["intermediate_size"], find_activation(config["hidden_act"]), dtype=dtype),
        norm=norm,
        qk_norm=norm if config["qk_layernorm"] else None,
        qkv_bias=True,
        out_bias=True,
        dtype=dtype,
    )
    return Decoder(stack, RULES)


ATTENTION = f"{llama.LAYER}.self_attn"
QKV = [f"backbone/layer/{x}_main" for x in "qkv"]
RULES = (
    *llama.TOKENS,
    Rule(
        f"{ATTENTION}.query_key_value.weight", tuple(f"{path}/kernel" for path in QKV), "(h three c) d -> three d h c"
    ),
    Rule(f"{ATTENTION}.query_key_value.bias", tuple(f"{path}/bias" for path in QKV), "(h three c) -> three h c"),
    *llama.out(f"{ATTENTION}.dense", "backbone/layer/o_main"),
    *llama.norm(f"{ATTENTION}.q_layernorm", "backbone/layer/q_norm_main"),
    *llama.norm(f"{ATTENTION}.k_layernorm", "backbone/layer/k_norm_main"),
    *llama.LAYER_NORMS,
    *llama.norm("model.final_layernorm", "backbone/norm_main"),
    *llama.dense(f"{llama.LAYER}.mlp.dense_h_to_4h", "backbone/layer/mlp_main/up"),
    *llama.dense(f"{llama.LAYER}.mlp.dense_4h_to_h", "backbone/layer/mlp_main/down"),
)
