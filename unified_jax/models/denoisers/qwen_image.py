"""Qwen-Image: text and picture in two streams with one attention, turned by frame, row and column (arXiv:2508.02324).

It predicts the velocity. Places are counted from the picture's middle, and the text goes on diagonally from its edge
(MSRoPE, section 2.4): a patch is at (0, row - ceil(rows / 2), column - ceil(columns / 2)), the text's slot i at
(e + i, e + i, e + i), e being half of the longer side. Guidance keeps the norm of what was predicted with the text.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np

from unified_jax.core.types import Array, Bool, DTypeLike, Int
from unified_jax.interop.pairs import dense
from unified_jax.interop.rules import Rule
from unified_jax.models.denoisers import transformer
from unified_jax.models.denoisers.denoiser import Denoiser, PatchEmbed, TextIn
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.adaptive_norm import AdaNorm
from unified_jax.nn.condition import TimeEmbed
from unified_jax.nn.dense import Dense
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.places import Grid
from unified_jax.nn.rope import NEIGHBOURS, Rope
from unified_jax.nn.stack import Stack

DEFAULTS = {
    "patch_size": 2,
    "in_channels": 64,
    "out_channels": 16,
    "num_layers": 60,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 3584,
    "guidance_embeds": False,
    "axes_dims_rope": (16, 56, 56),
    "zero_cond_t": False,
    "use_additional_t_cond": False,
    "use_layer3d_rope": False,
}


def qwen_image(config: Config, *, dtype: DTypeLike) -> Component:
    """``QwenImageTransformer2DModel``: reads ``text`` and ``mask``. Raises ValueError for the variants that edit."""
    config = with_defaults(config, DEFAULTS)
    plain = ("guidance_embeds", "zero_cond_t", "use_additional_t_cond", "use_layer3d_rope")
    transformer.require(config, **dict.fromkeys(plain, False))
    width, head_dim, patch = transformer.width(config), config["attention_head_dim"], config["patch_size"]
    block = transformer.block(
        config,
        mlp=transformer.mlp(4 * width, "gelu-approximate", dtype=dtype),
        route={"image": "image", "text": "text"},
        pre_norm=AdaNorm,
        qk_norm=partial(RMSNorm, 1e-6),
        dtype=dtype,
    )
    rope = Rope(head_dim, sections=tuple(axis // 2 for axis in config["axes_dims_rope"]), pairing=NEIGHBOURS)
    module = Denoiser(
        PatchEmbed(width, patch, dtype=dtype),
        condition={"time": TimeEmbed(width)},
        text=TextIn(Dense(width, use_bias=True, dtype=dtype), norm=RMSNorm(1e-6)),
        backbone=Stack(block, config["num_layers"], rope, norm=None),
        norm=AdaNorm(parts=("scale", "shift")),
        channels=config["out_channels"] or config["in_channels"] // patch**2,
        positions=from_the_middle,
    )
    text = transformer.floats(1, transformer.TEXT, config["joint_attention_dim"])
    return transformer.component(module, config, RULES, channels=config["in_channels"] // patch**2, text=text)


def from_the_middle(grid: Grid, mask: Bool[Array, "B S"]) -> tuple[Int[Array, "B T A"], Int[Array, "B S A"]]:
    """(frame, row, column) of the picture's slots and of the text's."""
    rows, columns = (np.arange(n) - (n - n // 2) for n in grid)
    image = np.stack(np.broadcast_arrays(0, rows[:, None], columns), -1).reshape(-1, 3)
    text = max(n // 2 for n in grid) + np.repeat(np.arange(mask.shape[1])[:, None], 3, axis=1)
    return tuple(jnp.broadcast_to(jnp.asarray(x, jnp.int32), (mask.shape[0], *x.shape)) for x in (image, text))


BLOCK, STACK = transformer.BLOCK, transformer.STACK
RULES = (
    Rule("img_in.weight", "embed/in/kernel", "d (c p q) -> p q c d"),
    Rule("img_in.bias", "embed/in/bias"),
    *transformer.two_maps("time_text_embed.timestep_embedder", "condition_time/mlp"),
    Rule("txt_norm.weight", "text/norm/scale"),
    *dense("txt_in", "text/project"),
    *(
        rule
        for theirs, ours in (("img", "image"), ("txt", "text"))
        for rule in (
            *transformer.modulation(f"{BLOCK}.{theirs}_mod.1", f"{STACK}/attn_norm_{ours}", f"{STACK}/mlp_norm_{ours}"),
            *transformer.feed(f"{BLOCK}.{theirs}_mlp", f"{STACK}/mlp_{ours}"),
        )
    ),
    *transformer.attention(f"{BLOCK}.attn", STACK),
    *transformer.added(f"{BLOCK}.attn", STACK),
    *transformer.modulation("norm_out.linear", "norm"),
    *transformer.patches_out("proj_out", "c p q"),
)
