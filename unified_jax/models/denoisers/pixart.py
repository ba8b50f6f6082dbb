"""PixArt-alpha and sigma: DiT told time by adaLN-single, and text by cross-attention (arXiv:2310.00426; 2403.04692).

It predicts the noise and its variance. Texts are padded, to 120 slots for alpha and 300 for sigma; the mask hides that.
"""

from functools import partial

import jax

from unified_jax.core.types import DTypeLike
from unified_jax.interop.rules import Rule
from unified_jax.models.denoisers import transformer
from unified_jax.models.denoisers.denoiser import Denoiser, PatchEmbed, TextIn
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.adaptive_norm import SharedModulation, TableNorm
from unified_jax.nn.condition import SizeEmbed, TimeEmbed, level
from unified_jax.nn.cross_attention import CrossAttention
from unified_jax.nn.mlp import Mlp
from unified_jax.nn.norm import LayerNorm
from unified_jax.nn.places import SincosPlaces
from unified_jax.nn.reading import Reading
from unified_jax.nn.rope import NoRope
from unified_jax.nn.stack import Stack

DEFAULTS = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 28,
    "cross_attention_dim": 1152,
    "attention_bias": True,
    "sample_size": 128,
    "patch_size": 2,
    "activation_fn": "gelu-approximate",
    "norm_type": "ada_norm_single",
    "norm_elementwise_affine": False,
    "norm_eps": 1e-6,
    "interpolation_scale": None,
    "use_additional_conditions": None,
    "caption_channels": None,
    "attention_type": "default",
}


def pixart(config: Config, *, dtype: DTypeLike) -> Component:
    """``PixArtTransformer2DModel``: reads ``text`` and ``mask``, and ``size`` where it was trained with it.

    Raises ValueError for other norms, and for one without a map of its captions.
    """
    config = with_defaults(config, DEFAULTS)
    width, head_dim = transformer.width(config), config["attention_head_dim"]
    single = dict(norm_type="ada_norm_single", norm_elementwise_affine=False, attention_type="default")
    transformer.require(config, **single, cross_attention_dim=width)
    if config["caption_channels"] is None:
        raise ValueError("caption_channels null: every published PixArt maps its captions, and no other is known here")
    bias, heads = config["attention_bias"], config["num_attention_heads"]
    norm = partial(LayerNorm, config["norm_eps"], use_scale=False, use_bias=False)
    cross = partial(CrossAttention, heads, head_dim, qkv_bias=bias, dtype=dtype)
    block = transformer.block(config, pre_norm=partial(TableNorm, norm), cross=cross, qkv_bias=bias, dtype=dtype)
    stack = Stack(block, config["num_layers"], NoRope(head_dim), norm=None, modulation=SharedModulation)
    sized = config["use_additional_conditions"]
    sized = config["sample_size"] == 128 if sized is None else sized
    sizes = {"size": SizeEmbed(width)} if sized else {}
    scale = config["interpolation_scale"] or max(config["sample_size"] // 64, 1)
    module = Denoiser(
        PatchEmbed(width, config["patch_size"], SincosPlaces(transformer.base(config), scale), dtype=dtype),
        condition={"time": TimeEmbed(width, level), **sizes},
        text=TextIn(Mlp(width, jax.nn.gelu, features=width, dtype=dtype)),
        backbone=Reading(stack, "text"),
        norm=TableNorm(parts=("shift", "scale")),
        channels=config["out_channels"] or config["in_channels"],
    )
    told = {"text": transformer.floats(1, transformer.TEXT, config["caption_channels"])}
    told |= {"size": transformer.floats(1, 2)} if sized else {}
    return transformer.component(module, config, RULES, channels=config["in_channels"], **told)


STACK = "backbone/stack/layer"
TABLES = (f"{STACK}/attn_norm_image/table", f"{STACK}/mlp_norm_image/table")
SHARED = "backbone/stack/modulation/modulation"
RULES = (
    *transformer.patches_in(),
    *transformer.two_maps("adaln_single.emb.timestep_embedder", "condition_time/mlp"),
    *transformer.two_maps("adaln_single.emb.resolution_embedder", "condition_size/side"),
    *transformer.two_maps("adaln_single.emb.aspect_ratio_embedder", "condition_size/ratio"),
    Rule("adaln_single.linear.weight", f"{SHARED}/kernel", "(two f) e -> e two f"),
    Rule("adaln_single.linear.bias", f"{SHARED}/bias", "(two f) -> two f"),
    *transformer.two_maps("caption_projection", "text/project"),
    Rule(f"{transformer.BLOCK}.scale_shift_table", TABLES, "(two p) d -> two p d"),
    *transformer.attention(f"{transformer.BLOCK}.attn1", STACK),
    *transformer.cross(f"{transformer.BLOCK}.attn2", f"{STACK}/cross_image"),
    *transformer.feed(f"{transformer.BLOCK}.ff", f"{STACK}/mlp_image"),
    Rule("scale_shift_table", "norm/table"),
    *transformer.patches_out("proj_out"),
)
