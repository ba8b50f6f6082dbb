"""T5 and UMT5 encoders: unscaled scores with a relative position bias, no other positions, no biases
(arXiv:1910.10683, section 2.1; arXiv:2304.09151, section 4.1).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, heads, norm, out
from unified_jax.interop.rules import Copy, Rule
from unified_jax.models.encoders.transformer import STACK
from unified_jax.models.published import Component, Config, Published, with_defaults
from unified_jax.nn.block import Block
from unified_jax.nn.encoder import Encoder
from unified_jax.nn.mlp import GatedMlp, Mlp, find_activation
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.relative_bias import RelativeBias
from unified_jax.nn.rope import NoRope
from unified_jax.nn.stack import Stack
from unified_jax.nn.text_embed import TextEmbed, everything, first


def t5(config: Config, *, dtype: DTypeLike) -> Component:
    """``T5EncoderModel``: all layers have one bias. A file of the whole T5 will do, its decoder is left aside."""
    config = with_defaults(config, T5_DEFAULTS)
    return _component(config, BIAS_OF_ALL, of_stack={"bias": _bias(config)}, of_block={}, dtype=dtype)


def umt5(config: Config, *, dtype: DTypeLike) -> Component:
    """``UMT5EncoderModel``: every layer has a bias of its own."""
    config = with_defaults(config, UMT5_DEFAULTS)
    return _component(config, BIAS_OF_EACH, of_stack={}, of_block={"bias": _bias(config)}, dtype=dtype)


def _component(
    config: Config, bias_rule: Rule, *, of_stack: Mapping[str, Any], of_block: Mapping[str, Any], dtype: DTypeLike
) -> Component:
    mlp, names = _mlp(config, dtype=dtype)
    layer_norm = partial(RMSNorm, config["layer_norm_epsilon"])
    block = partial(
        Block,
        num_heads=config["num_heads"],
        head_dim=config["d_kv"],
        mlp=mlp,
        route={"main": "main"},
        pre_norm=layer_norm,
        scale=1.0,
        dtype=dtype,
        **of_block,
    )
    stack = Stack(block, config["num_layers"], NoRope(config["d_kv"]), norm=None, **of_stack)
    embed = TextEmbed(config["vocab_size"], config["d_model"], blocks=everything, end=first, dtype=dtype)
    encoder = Encoder(embed, stack, norm=layer_norm(), pool=None)
    ids = jax.ShapeDtypeStruct((1, 8), jnp.int32)
    rules = (*RULES, *names, bias_rule)
    return Component(encoder, (ids,), Published(config, rules, SKIP, prefix="language_model."))


def _bias(config: Config) -> Callable[..., nn.Module]:
    buckets, furthest = config["relative_attention_num_buckets"], config["relative_attention_max_distance"]
    return partial(RelativeBias, config["num_heads"], buckets=buckets, furthest=furthest)


def _mlp(config: Config, *, dtype: DTypeLike) -> tuple[Callable[..., nn.Module], Sequence[Rule]]:
    """The piece that ``feed_forward_proj`` names, "relu" or "gated-gelu" say, and where its weights go."""
    gated, _, name = config["feed_forward_proj"].rpartition("-")
    if gated not in ("", "gated"):
        raise ValueError(f"feed_forward_proj {config['feed_forward_proj']!r}: an activation, or gated- and one")
    if gated:
        # The reference reads this one name as the tanh form.
        activation = find_activation("gelu_new" if name == "gelu" else name)
        return partial(GatedMlp, config["d_ff"], activation, dtype=dtype), GATED_MLP
    return partial(Mlp, config["d_ff"], find_activation(name), use_bias=False, dtype=dtype), PLAIN_MLP


T5_DEFAULTS = {
    "vocab_size": 32128,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_heads": 8,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
    "feed_forward_proj": "relu",
}
UMT5_DEFAULTS = T5_DEFAULTS | {
    "vocab_size": 250112,
    "d_ff": 1024,
    "num_layers": 8,
    "num_heads": 6,
    "feed_forward_proj": "gated-gelu",
}
LAYER = r"encoder.block.(\d+).layer"
BIAS = "SelfAttention.relative_attention_bias.weight"
BIAS_OF_ALL = Rule(f"encoder.block.0.layer.0.{BIAS}", "stack/bias/table")
BIAS_OF_EACH = Rule(f"{LAYER}.0.{BIAS}", f"{STACK}/bias/table")
RULES = (
    Rule("shared.weight", "embed/table"),
    *(rule for x in "qkv" for rule in heads(f"{LAYER}.0.SelfAttention.{x}", f"{STACK}/{x}_main")),
    *out(f"{LAYER}.0.SelfAttention.o", f"{STACK}/o_main"),
    *norm(f"{LAYER}.0.layer_norm", f"{STACK}/attn_norm_main"),
    *norm(f"{LAYER}.1.layer_norm", f"{STACK}/mlp_norm_main"),
    *norm("encoder.final_layer_norm", "norm"),
    Copy("encoder.embed_tokens.weight", of="shared.weight"),
)
PLAIN_MLP = (
    *dense(f"{LAYER}.1.DenseReluDense.wi", f"{STACK}/mlp_main/up"),
    *dense(f"{LAYER}.1.DenseReluDense.wo", f"{STACK}/mlp_main/down"),
)
GATED_MLP = (
    *dense(f"{LAYER}.1.DenseReluDense.wi_0", f"{STACK}/mlp_main/gate"),
    *dense(f"{LAYER}.1.DenseReluDense.wi_1", f"{STACK}/mlp_main/up"),
    *dense(f"{LAYER}.1.DenseReluDense.wo", f"{STACK}/mlp_main/down"),
)
SKIP = r"decoder\..*|lm_head\.weight"  # what decodes
