"""SigLIP under the names that timm gives it (arXiv:2303.15343; github.com/huggingface/pytorch-image-models)."""

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, heads, norm, out
from unified_jax.interop.rules import Rule
from unified_jax.models.encoders import transformer
from unified_jax.models.encoders.siglip import siglip_vision
from unified_jax.models.published import Component, Config, Published


def timm_siglip(config: Config, *, dtype: DTypeLike) -> Component:
    """config: the sizes as timm calls them, of a transformer that is pooled by attention.

    Raises ValueError for another pool.
    """
    if config["global_pool"] != "map":
        raise ValueError(f"global_pool {config['global_pool']!r}; known is 'map', attention of one query")
    width = config["width"]
    fields = {
        "hidden_size": width,
        "intermediate_size": int(width * config["mlp_ratio"]),
        "num_hidden_layers": config["layers"],
        "num_attention_heads": config["heads"],
        "image_size": config["image_size"],
        "patch_size": config["patch_size"],
        "hidden_act": "gelu",
    }
    component = siglip_vision(Config(fields), dtype=dtype)
    return Component(component.module, component.inputs, Published(config, RULES))


BLOCK, LAYER, POOL = r"blocks.(\d+)", transformer.STACK, "pool/attention"
QKV, KV = [f"{LAYER}/{x}_main" for x in "qkv"], [f"{POOL}/{x}" for x in "kv"]
RULES = (
    *transformer.patches("patch_embed.proj"),
    Rule("pos_embed", "embed/place", "1 (r c) d -> r c d"),
    Rule(f"{BLOCK}.attn.qkv.weight", tuple(f"{x}/kernel" for x in QKV), "(three h c) d -> three d h c"),
    Rule(f"{BLOCK}.attn.qkv.bias", tuple(f"{x}/bias" for x in QKV), "(three h c) -> three h c"),
    *out(f"{BLOCK}.attn.proj", f"{LAYER}/o_main"),
    *norm(f"{BLOCK}.norm1", f"{LAYER}/attn_norm_main"),
    *norm(f"{BLOCK}.norm2", f"{LAYER}/mlp_norm_main"),
    *dense(f"{BLOCK}.mlp.fc1", f"{LAYER}/mlp_main/up"),
    *dense(f"{BLOCK}.mlp.fc2", f"{LAYER}/mlp_main/down"),
    *norm("norm", "norm"),
    Rule("attn_pool.latent", "pool/query", "1 1 d -> d"),
    *heads("attn_pool.q", f"{POOL}/q"),
    Rule("attn_pool.kv.weight", tuple(f"{x}/kernel" for x in KV), "(two h c) d -> two d h c"),
    Rule("attn_pool.kv.bias", tuple(f"{x}/bias" for x in KV), "(two h c) -> two h c"),
    *out("attn_pool.proj", f"{POOL}/o"),
    *norm("attn_pool.norm", "pool/norm"),
    *dense("attn_pool.mlp.fc1", "pool/mlp/up"),
    *dense("attn_pool.mlp.fc2", "pool/mlp/down"),
)
