"""LLaDA, a language model that sees all of a text: Llama's layers under OLMo's names (arXiv:2502.09992, section 2.2).

No table lists it, for nothing of it is causal: systems that write by unmasking take it as their text side.
"""

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, heads, norm, out
from unified_jax.interop.rules import Rule
from unified_jax.models.decoders.causal_lm import Decoder
from unified_jax.models.decoders.llama import stack
from unified_jax.models.published import Config

# Of the many layers that its config could describe, those that were published.
PUBLISHED = {
    "block_type": "llama",
    "layer_norm_type": "rms",
    "activation_type": "silu",
    "rope": True,
    "alibi": False,
    "attention_layer_norm": False,
    "input_emb_norm": False,
    "include_bias": False,
    "include_qkv_bias": False,
    "scale_logits": False,
    "weight_tying": False,
}


def llada(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``LLaDAModelLM``. Raises ValueError for a config of other layers."""
    for field, known in PUBLISHED.items():
        if config.get(field, known) != known:
            raise ValueError(f"{field} {config[field]!r}: of LLaDA's layers only those with {known!r} are known here")
    return Decoder(stack(as_llama(config), dtype=dtype), RULES)


def as_llama(config: Config) -> Config:
    """The sizes in Llama's words."""
    return Config(
        model_type=config["model_type"],
        vocab_size=config.get("embedding_size") or config["vocab_size"],
        hidden_size=config["d_model"],
        intermediate_size=config["mlp_hidden_size"],
        num_hidden_layers=config["n_layers"],
        num_attention_heads=config["n_heads"],
        num_key_value_heads=config["n_kv_heads"],
        hidden_act=config["activation_type"],
        max_position_embeddings=config["max_sequence_length"],
        rms_norm_eps=config["rms_norm_eps"],
        rope_theta=config["rope_theta"],
    )


LAYER, OURS = r"model.transformer.blocks.(\d+)", "backbone/layer"
RULES = (
    Rule("model.transformer.wte.weight", "embed_text/table"),
    *(rule for x in "qkv" for rule in heads(f"{LAYER}.{x}_proj", f"{OURS}/{x}_main")),
    *out(f"{LAYER}.attn_out", f"{OURS}/o_main"),
    *norm(f"{LAYER}.attn_norm", f"{OURS}/attn_norm_main"),
    *norm(f"{LAYER}.ff_norm", f"{OURS}/mlp_norm_main"),
    *dense(f"{LAYER}.ff_proj", f"{OURS}/mlp_main/gate"),
    *dense(f"{LAYER}.up_proj", f"{OURS}/mlp_main/up"),
    *dense(f"{LAYER}.ff_out", f"{OURS}/mlp_main/down"),
    *norm("model.transformer.ln_f", "backbone/norm_main"),
    *dense("model.transformer.ff_out", "heads_text/out"),
)
