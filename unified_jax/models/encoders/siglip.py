"""SigLIP and SigLIP 2 in its NaFlex form: a vision transformer pooled by attention (arXiv:2303.15343, 2502.14786)."""

import math

import jax
import jax.numpy as jnp

from unified_jax.core.pictures import Pictures
from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, norm, out
from unified_jax.interop.rules import Rule
from unified_jax.models.encoders import transformer
from unified_jax.models.published import Component, Config, Published, with_defaults
from unified_jax.nn.encoder import Encoder
from unified_jax.nn.picture_embed import PictureEmbed
from unified_jax.nn.pool import AttentionPool
from unified_jax.nn.resample import Weights, cubic, smooth_linear


def siglip_vision(config: Config, *, dtype: DTypeLike) -> Component:
    """``SiglipVisionModel``."""
    config = with_defaults(config, DEFAULTS | {"image_size": 224})
    side = transformer.table_side(config)
    spare = transformer.side(config, "image_size") - side * transformer.side(config, "patch_size")
    encoder = _encoder(config, side, weights=cubic, spare=spare, dtype=dtype)
    rules = (*transformer.patches("embeddings.patch_embedding"), *RULES)
    published = Published(config, rules, transformer.POSITION_IDS, prefix="vision_model.")
    return Component(encoder, (transformer.pixels(config),), published)


def siglip2_vision(config: Config, *, dtype: DTypeLike) -> Component:
    """``Siglip2VisionModel``: packed pictures of any shape; the table of places is resized smoothly."""
    config = with_defaults(config, DEFAULTS | {"num_patches": 256})
    encoder = _encoder(config, math.isqrt(config["num_patches"]), weights=smooth_linear, dtype=dtype)
    rules = (
        Rule("embeddings.patch_embedding.weight", "embed/patch/kernel", "d (p q c) -> p q c d"),
        Rule("embeddings.patch_embedding.bias", "embed/patch/bias"),
        *RULES,
    )
    length, ints = config["num_patches"], lambda *shape: jax.ShapeDtypeStruct(shape, jnp.int32)
    patches = jax.ShapeDtypeStruct((1, length, 3 * transformer.side(config, "patch_size") ** 2), jnp.float32)
    inputs = Pictures(patches, doc=ints(1, length), place=ints(1, length, 2), grid=ints(1, length, 2))
    return Component(encoder, (inputs,), Published(config, rules, transformer.POSITION_IDS, prefix="vision_model."))


def _encoder(config: Config, side: int, *, weights: Weights, spare: int = 0, dtype: DTypeLike) -> Encoder:
    width, layer_norm = config["hidden_size"], transformer.layer_norm(config)
    patch = transformer.side(config, "patch_size")
    embed = PictureEmbed(width, patch=patch, grid=(side, side), weights=weights, spare=spare, dtype=dtype)
    pool = AttentionPool(
        layer_norm(),
        transformer.mlp(config, config["intermediate_size"], dtype=dtype)(),
        num_heads=config["num_attention_heads"],
        dtype=dtype,
    )
    stack = transformer.stack(config, dtype=dtype)
    return Encoder(embed, stack, norm=layer_norm(), pool=pool if config["vision_use_head"] else None)


DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "patch_size": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "vision_use_head": True,
}
QKV = [f"pool/attention/{x}" for x in "qkv"]
RULES = (
    Rule("embeddings.position_embedding.weight", "embed/place", "(r c) d -> r c d"),
    *transformer.LAYERS,
    *norm("post_layernorm", "norm"),
    Rule("head.probe", "pool/query", "1 1 d -> d"),
    Rule("head.attention.in_proj_weight", tuple(f"{x}/kernel" for x in QKV), "(three h c) d -> three d h c"),
    Rule("head.attention.in_proj_bias", tuple(f"{x}/bias" for x in QKV), "(three h c) -> three h c"),
    *out("head.attention.out_proj", "pool/attention/o"),
    *norm("head.layernorm", "pool/norm"),
    *dense("head.mlp.fc1", "pool/mlp/up"),
    *dense("head.mlp.fc2", "pool/mlp/down"),
)
