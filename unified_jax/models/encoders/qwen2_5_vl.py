"""Qwen2.5-VL's tower: most layers see windows of a picture, some all of it; rows and columns turn queries and keys, and
nothing is normalised behind the last layer (arXiv:2502.13923, section 2.1.1).

What merges patches behind it is a connector (``connectors/projector.py``).
"""

from functools import partial

import jax
import jax.numpy as jnp

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, norm, out
from unified_jax.interop.rules import Rule
from unified_jax.models.encoders import transformer
from unified_jax.models.published import Component, Config, Published, with_defaults
from unified_jax.nn.attention import attend_visible
from unified_jax.nn.block import Block
from unified_jax.nn.encoder import Encoder
from unified_jax.nn.frame_embed import FrameEmbed
from unified_jax.nn.grid_windows import in_windows
from unified_jax.nn.mlp import GatedMlp, find_activation
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.rope import Rope
from unified_jax.nn.stack import Stack

DEFAULTS = {
    "depth": 32,
    "hidden_size": 3584,
    "hidden_act": "silu",
    "intermediate_size": 3420,
    "num_heads": 16,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": (7, 15, 23, 31),
}


def qwen2_5_vl_vision(config: Config, *, dtype: DTypeLike) -> Component:
    """``Qwen2_5_VisionTransformerPretrainedModel`` without its merger."""
    config = with_defaults(config, DEFAULTS)
    width, heads, patch = config["hidden_size"], config["num_heads"], transformer.side(config, "patch_size")
    activation = find_activation(config["hidden_act"])
    block = partial(
        Block,
        num_heads=heads,
        head_dim=width // heads,
        mlp=partial(GatedMlp, config["intermediate_size"], activation, use_bias=True, dtype=dtype),
        route={"main": "main"},
        pre_norm=partial(RMSNorm, 1e-6),
        qkv_bias=True,
        out_bias=True,
        attention=in_windows(attend_visible),
        dtype=dtype,
    )
    quarter = width // heads // 4
    rope = Rope(width // heads, sections=(0, quarter, quarter))
    stack = Stack(block, config["depth"], rope, windows=_windows(config, patch), norm=None)
    embed = FrameEmbed(width, patch=patch, frames=config["temporal_patch_size"], dtype=dtype)
    side = patch * config["spatial_merge_size"]
    pixels = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return Component(Encoder(embed, stack, norm=None, pool=None), (pixels,), Published(config, RULES))


def _windows(config: Config, patch: int) -> tuple[int | None, ...]:
    """Sides of every layer's windows in patches: whole squares of those that are merged; None for no window."""
    merged = config["spatial_merge_size"]
    side = config["window_size"] // (patch * merged) * merged
    return tuple(None if i in config["fullatt_block_indexes"] else side for i in range(config["depth"]))


LAYER = r"blocks.(\d+)"
QKV = [f"{transformer.STACK}/{x}_main" for x in "qkv"]
RULES = (
    Rule("patch_embed.proj.weight", "embed/patch/kernel", "d c t p q -> t p q c d"),
    Rule(f"{LAYER}.attn.qkv.weight", tuple(f"{x}/kernel" for x in QKV), "(three h c) d -> three d h c"),
    Rule(f"{LAYER}.attn.qkv.bias", tuple(f"{x}/bias" for x in QKV), "(three h c) -> three h c"),
    *out(f"{LAYER}.attn.proj", f"{transformer.STACK}/o_main"),
    *norm(f"{LAYER}.norm1", f"{transformer.STACK}/attn_norm_main"),
    *norm(f"{LAYER}.norm2", f"{transformer.STACK}/mlp_norm_main"),
    *(
        rule
        for name in ("gate", "up", "down")
        for rule in dense(f"{LAYER}.mlp.{name}_proj", f"{transformer.STACK}/mlp_main/{name}")
    ),
)
