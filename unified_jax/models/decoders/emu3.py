"""Emu3's decoder, which is Llama's (arXiv:2409.18869, section 2.3)."""

from unified_jax.core.types import DTypeLike
from unified_jax.models.decoders import llama
from unified_jax.models.decoders.causal_lm import Decoder
from unified_jax.models.published import Config

# transformers' own, for configs that are published as differences from them.
DEFAULTS = {
    "vocab_size": 184_622,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_act": "silu",
    "max_position_embeddings": 9216,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1_000_000.0,
}


def emu3_text(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``Emu3ForCausalLM``, without dropout."""
    return Decoder(llama.stack(config, dtype=dtype), llama.RULES)
