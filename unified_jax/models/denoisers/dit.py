"""DiT: a transformer over patches of latents, told time and class by adaLN-Zero (arXiv:2212.09748).

It predicts the noise and, with twice the channels, its variance.
"""

from collections.abc import Iterator
from functools import partial

from unified_jax.core.types import DTypeLike
from unified_jax.interop.rules import Copy, Rule
from unified_jax.models.denoisers import transformer
from unified_jax.models.denoisers.denoiser import Denoiser, PatchEmbed
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.adaptive_norm import AdaNorm
from unified_jax.nn.condition import LabelEmbed, TimeEmbed, level
from unified_jax.nn.norm import LayerNorm
from unified_jax.nn.places import SincosPlaces
from unified_jax.nn.rope import NoRope
from unified_jax.nn.stack import Stack

DEFAULTS = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": None,
    "num_layers": 28,
    "attention_bias": True,
    "sample_size": 32,
    "patch_size": 2,
    "activation_fn": "gelu-approximate",
    "num_embeds_ada_norm": 1000,
    "norm_type": "ada_norm_zero",
    "norm_elementwise_affine": False,
    "norm_eps": 1e-5,
}


def dit(config: Config, *, dtype: DTypeLike) -> Component:
    """``DiTTransformer2DModel``: reads ``label``, the last of which is none. Raises ValueError for other norms."""
    config = with_defaults(config, DEFAULTS)
    transformer.require(config, norm_type="ada_norm_zero", norm_elementwise_affine=False)
    width, base = transformer.width(config), transformer.base(config)
    mlp_norm = partial(AdaNorm, partial(LayerNorm, config["norm_eps"], use_scale=False, use_bias=False))
    block = transformer.block(
        config, pre_norm=AdaNorm, mlp_norm=mlp_norm, qkv_bias=config["attention_bias"], dtype=dtype
    )
    module = Denoiser(
        PatchEmbed(width, config["patch_size"], SincosPlaces(base), dtype=dtype),
        condition={"label": LabelEmbed(config["num_embeds_ada_norm"], width), "time": TimeEmbed(width, level, ends=1)},
        text=None,
        backbone=Stack(block, config["num_layers"], NoRope(config["attention_head_dim"]), norm=None),
        norm=AdaNorm(parts=("shift", "scale")),
        channels=config["out_channels"] or config["in_channels"],
    )
    rules = (*RULES, *copies(config["num_layers"]))
    return transformer.component(module, config, rules, channels=config["in_channels"], label=transformer.ints(1))


def copies(depth: int) -> Iterator[Copy]:
    """The published class gives each layer an embedding of time and class; all of them are the first one's weights."""
    maps = [f"timestep_embedder.linear_{i}.{x}" for i in (1, 2) for x in ("weight", "bias")]
    for name in (*maps, "class_embedder.embedding_table.weight"):
        for i in range(1, depth):
            yield Copy(f"transformer_blocks.{i}.norm1.emb.{name}", f"{EMBED}.{name}")


EMBED, BLOCK, STACK = "transformer_blocks.0.norm1.emb", transformer.BLOCK, transformer.STACK
RULES = (
    *transformer.patches_in(),
    *transformer.two_maps(f"{EMBED}.timestep_embedder", "condition_time/mlp"),
    Rule(f"{EMBED}.class_embedder.embedding_table.weight", "condition_label/table"),
    *transformer.modulation(
        f"{BLOCK}.norm1.linear",
        f"{STACK}/attn_norm_image",
        f"{STACK}/mlp_norm_image",
    ),
    *transformer.attention(f"{BLOCK}.attn1", STACK),
    *transformer.feed(f"{BLOCK}.ff", f"{STACK}/mlp_image"),
    *transformer.modulation("proj_out_1", "norm"),
    *transformer.patches_out("proj_out_2"),
)
