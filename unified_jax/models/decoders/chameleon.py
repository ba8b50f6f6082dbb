"""Chameleon's decoder: Llama with normalised heads, and in the 34B with norms after instead of before
(arXiv:2405.09818, section 2.3).
"""

from functools import partial

from unified_jax.core.types import DTypeLike
from unified_jax.models.decoders import llama
from unified_jax.models.decoders.causal_lm import Decoder
from unified_jax.models.published import Config
from unified_jax.nn.norm import LayerNorm, RMSNorm

HEAD_EPSILON = 1e-5  # of the norms of q and k; not in the config


def chameleon(config: Config, *, dtype: DTypeLike) -> Decoder:
    """The language model of ``ChameleonForConditionalGeneration``, over ids of text and codes; not its codec.

    The reference also forbids codes in text by setting their logits to the least float; here what may be chosen is
    the fill's to say (``models/chameleon_released.py``).
    """
    norm, bias = partial(RMSNorm, config["rms_norm_eps"]), config.get("attention_bias", False)
    before, after = (None, norm) if config["swin_norm"] else (norm, None)
    stack = llama.stack(
        config,
        norm=norm,
        pre_norm=before,
        post_norm=after,
        qk_norm=partial(LayerNorm, HEAD_EPSILON, scale_axes=2),
        qkv_bias=bias,
        out_bias=bias,
        dtype=dtype,
    )
    return Decoder(stack, RULES)


RULES = (
    *llama.RULES,
    *llama.norm(f"{llama.LAYER}.input_layernorm", "backbone/layer/attn_post_norm_main"),
    *llama.norm(f"{llama.LAYER}.post_attention_layernorm", "backbone/layer/mlp_post_norm_main"),
)
