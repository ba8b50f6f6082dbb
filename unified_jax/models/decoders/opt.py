"""OPT, the decoder of BLIP-2: learned positions, ReLU, biases everywhere, a tied head (arXiv:2205.01068, 2.1)."""

from functools import partial

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, heads, norm, out
from unified_jax.interop.rules import Rule
from unified_jax.models.decoders.causal_lm import Decoder
from unified_jax.models.published import Config, with_defaults
from unified_jax.nn.block import Block
from unified_jax.nn.mlp import Mlp, find_activation
from unified_jax.nn.norm import LayerNorm
from unified_jax.nn.placed_stack import PlacedStack
from unified_jax.nn.rope import NoRope

# transformers' own, for configs that are published as differences from them.
DEFAULTS = {
    "vocab_size": 50_272,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "ffn_dim": 3072,
    "max_position_embeddings": 2048,
    "num_attention_heads": 12,
    "activation_function": "relu",
    "enable_bias": True,
    "layer_norm_elementwise_affine": True,
    "do_layer_norm_before": True,
    "word_embed_proj_dim": None,
    "tie_word_embeddings": True,
}
UNREAD = 2  # rows of the table of places that no position reads


def opt(config: Config, *, dtype: DTypeLike) -> Decoder:
    """``OPTForCausalLM``. Raises ValueError for what only the model of 350M has: narrower words, norms after layers."""
    config = with_defaults(config, DEFAULTS)
    width, num_heads = config["hidden_size"], config["num_attention_heads"]
    narrow = config["word_embed_proj_dim"] not in (None, width)
    if narrow or not config["do_layer_norm_before"] or config.get("_remove_final_layer_norm"):
        raise ValueError(
            "an opt model must have words as wide as its states, norms before its layers and one at its end"
        )
    affine, bias = config["layer_norm_elementwise_affine"], config["enable_bias"]
    layer_norm = partial(LayerNorm, 1e-5, use_scale=affine, use_bias=affine)
    activation = find_activation(config["activation_function"])
    block = partial(
        Block,
        num_heads=num_heads,
        head_dim=width // num_heads,
        pre_norm=layer_norm,
        mlp=partial(Mlp, config["ffn_dim"], activation, use_bias=bias, dtype=dtype),
        route={"main": "main"},
        qkv_bias=bias,
        out_bias=bias,
        dtype=dtype,
    )
    stack = PlacedStack(
        block,
        config["num_hidden_layers"],
        NoRope(width // num_heads),
        norm=layer_norm,
        rows=config["max_position_embeddings"] + UNREAD,
        first=UNREAD,
    )
    return Decoder(stack, RULES)


LAYER, OURS = r"model.decoder.layers.(\d+)", "backbone/layer"
RULES = (
    Rule("model.decoder.embed_tokens.weight", "embed_text/table"),
    Rule("model.decoder.embed_positions.weight", "backbone/place"),
    *dense("lm_head", "heads_text/out"),
    *(rule for x in "qkv" for rule in heads(f"{LAYER}.self_attn.{x}_proj", f"{OURS}/{x}_main")),
    *out(f"{LAYER}.self_attn.out_proj", f"{OURS}/o_main"),
    *norm(f"{LAYER}.self_attn_layer_norm", f"{OURS}/attn_norm_main"),
    *norm(f"{LAYER}.final_layer_norm", f"{OURS}/mlp_norm_main"),
    *dense(f"{LAYER}.fc1", f"{OURS}/mlp_main/up"),
    *dense(f"{LAYER}.fc2", f"{OURS}/mlp_main/down"),
    *norm("model.decoder.final_layer_norm", "backbone/norm_main"),
)
