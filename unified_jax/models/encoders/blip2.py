"""BLIP-2: EVA's vision transformer, and the Q-Former that reads it (arXiv:2301.12597, section 3.1)."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, heads, norm, out
from unified_jax.interop.rules import Rule
from unified_jax.models.encoders import transformer
from unified_jax.models.published import Component, Config, Published, with_defaults
from unified_jax.nn.connectors.q_former import QFormerStack
from unified_jax.nn.cross_attention import CrossAttention
from unified_jax.nn.encoder import Encoder
from unified_jax.nn.pool import Read
from unified_jax.nn.resample import cubic


def blip2_vision(config: Config, *, dtype: DTypeLike) -> Component:
    """``Blip2VisionModel``; what is pooled passes the last norm twice, as in the reference."""
    config = with_defaults(config, VISION_DEFAULTS)
    layer_norm = transformer.layer_norm(config)()
    embed = transformer.picture_embed(config, weights=cubic, dtype=dtype)
    stack = transformer.stack(config, qkv_bias=config["qkv_bias"], dtype=dtype)
    encoder = Encoder(embed, stack, norm=layer_norm, pool=Read(layer_norm))
    return Component(encoder, (transformer.pixels(config),), Published(config, VISION_RULES, prefix="vision_model."))


def blip2_qformer(config: Config, *, dtype: DTypeLike) -> Component:
    """``Blip2QFormerModel``: (queries [B N D], what they read [B S E]) -> states of the queries [B N D].

    Raises ValueError for one that reads text beside its queries.
    """
    config = with_defaults(config, QFORMER_DEFAULTS)
    if config["use_qformer_text_input"]:
        raise ValueError("use_qformer_text_input true: only a Q-Former of queries alone is known here")
    width, num_heads = config["hidden_size"], config["num_attention_heads"]
    module = QFormerStack(
        depth=config["num_hidden_layers"],
        period=config["cross_attention_frequency"],
        attention=partial(CrossAttention, num_heads, width // num_heads, dtype=dtype),
        mlp=transformer.mlp(config, config["intermediate_size"], dtype=dtype),
        norm=transformer.layer_norm(config),
    )
    rules = qformer_rules(module.depth, module.period)
    inputs = [jax.ShapeDtypeStruct((1, 4, size), jnp.float32) for size in (width, config["encoder_hidden_size"])]
    return Component(module, inputs, Published(config, rules, transformer.POSITION_IDS, prefix="qformer."))


def qformer_rules(depth: int, period: int, *, ours: str = "") -> tuple[Rule, ...]:
    """Layers are scanned in groups of ``period``, the first of which reads the pictures.

    ours: what stands before every path.
    """
    layer, rules = r"encoder.layer.(\d+)", []
    for j in range(period):
        path = f"{ours}group/layer_{j}"
        names = [
            *_attention(f"{layer}.attention", f"{path}/attention"),
            *_attention(f"{layer}.crossattention", f"{path}/cross"),
            *dense(f"{layer}.intermediate_query.dense", f"{path}/mlp/up"),
            *dense(f"{layer}.output_query.dense", f"{path}/mlp/down"),
            *norm(f"{layer}.output_query.LayerNorm", f"{path}/mlp_norm"),
        ]
        rules += [dataclasses.replace(rule, layers=tuple(range(j, depth, period))) for rule in names]
    return (*norm("layernorm", f"{ours}norm"), *rules)


def _attention(name: str, path: str) -> tuple[Rule, ...]:
    projections = [rule for x in ("query", "key", "value") for rule in heads(f"{name}.attention.{x}", f"{path}/{x[0]}")]
    return (*projections, *out(f"{name}.output.dense", f"{path}/o"), *norm(f"{name}.output.LayerNorm", f"{path}_norm"))


VISION_DEFAULTS = {
    "hidden_size": 1408,
    "intermediate_size": 6144,
    "num_hidden_layers": 39,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "qkv_bias": True,
}
QFORMER_DEFAULTS = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "cross_attention_frequency": 2,
    "encoder_hidden_size": 1408,
    "use_qformer_text_input": False,
}
QKV = [f"{transformer.STACK}/{x}_main" for x in "qkv"]
VISION_RULES = (
    Rule("embeddings.class_embedding", "embed/class_token", "1 1 d -> 1 d"),
    *transformer.patches("embeddings.patch_embedding"),
    transformer.places("embeddings.position_embedding", leading="1"),
    Rule(
        f"{transformer.LAYER}.self_attn.qkv.weight",
        tuple(f"{path}/kernel" for path in QKV),
        "(three h c) d -> three d h c",
    ),
    Rule(f"{transformer.LAYER}.self_attn.qkv.bias", tuple(f"{path}/bias" for path in QKV), "(three h c) -> three h c"),
    *out(f"{transformer.LAYER}.self_attn.projection", f"{transformer.STACK}/o_main"),
    *transformer.NORMS_AND_MLP,
    *norm("post_layernorm", "norm"),
)
