"""Janus's encoder of pictures: SigLIP under names of its own, without a pool (arXiv:2410.13848, section 3.1)."""

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import heads, norm, out
from unified_jax.interop.rules import Rule
from unified_jax.models.encoders import transformer
from unified_jax.models.published import Component, Config, Published, with_defaults
from unified_jax.nn.encoder import Encoder
from unified_jax.nn.picture_embed import PictureEmbed
from unified_jax.nn.resample import cubic

DEFAULTS = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 16,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "mlp_ratio": 4.0,
    "attention_bias": True,
    "use_qk_norm": False,
}


def janus_vision(config: Config, *, dtype: DTypeLike) -> Component:
    """``JanusVisionModel``. Raises ValueError for heads with norms, which the reference cannot run either."""
    config = with_defaults(config, DEFAULTS)
    if config["use_qk_norm"]:
        raise ValueError("use_qk_norm true: the encoder of Janus has no norms of queries and keys")
    width, places = config["hidden_size"], transformer.table_side(config)
    embed = PictureEmbed(
        width, patch=transformer.side(config, "patch_size"), grid=(places, places), weights=cubic, dtype=dtype
    )
    mlp = transformer.mlp(config, int(width * config["mlp_ratio"]), dtype=dtype)
    stack = transformer.stack(config, mlp=mlp, qkv_bias=config["attention_bias"], dtype=dtype)
    encoder = Encoder(embed, stack, norm=transformer.layer_norm(config)(), pool=None)
    return Component(encoder, (transformer.pixels(config),), Published(config, RULES, prefix="vision_model."))


ATTENTION = f"{transformer.LAYER}.self_attn"
RULES = (
    *transformer.patches("embeddings.patch_embedding"),
    Rule("embeddings.position_embedding.weight", "embed/place", "(r c) d -> r c d"),
    *(rule for x in "qkv" for rule in heads(f"{ATTENTION}.{x}_proj", f"{transformer.STACK}/{x}_main")),
    *out(f"{ATTENTION}.projection_layer", f"{transformer.STACK}/o_main"),
    *transformer.NORMS_AND_MLP,
    *norm("post_layernorm", "norm"),
)
