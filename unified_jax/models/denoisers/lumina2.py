"""Lumina-Image 2.0: text and picture refined apart, then one sequence with one set of weights (arXiv:2503.21758, 3.1).

Published networks count time from noise at 0 to data at 1 and predict data - noise; here both are turned round. A word
is at (index, 0, 0), a patch at (length of the text, row, column).
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from unified_jax.core.sequence import Slots, split
from unified_jax.core.types import Array, Bool, DTypeLike, Int
from unified_jax.interop.pairs import dense
from unified_jax.interop.rules import Rule
from unified_jax.models.denoisers import transformer
from unified_jax.models.denoisers.denoiser import Denoiser, PatchEmbed, TextIn
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.adaptive_norm import BARE, AdaNorm
from unified_jax.nn.attention import KeysValues
from unified_jax.nn.block import Block, States
from unified_jax.nn.condition import TimeEmbed
from unified_jax.nn.dense import Dense
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.places import Grid
from unified_jax.nn.rope import NEIGHBOURS, Rope
from unified_jax.nn.stack import Stack

DEFAULTS = {
    "patch_size": 2,
    "in_channels": 16,
    "out_channels": None,
    "hidden_size": 2304,
    "num_layers": 26,
    "num_refiner_layers": 2,
    "num_attention_heads": 24,
    "num_kv_heads": 8,
    "multiple_of": 256,
    "ffn_dim_multiplier": None,
    "norm_eps": 1e-5,
    "axes_dim_rope": (32, 32, 32),
    "cap_feat_dim": 1024,
}


class Refined(nn.Module):
    """Each lane through a stack of its own, that of the text without condition; then both through one."""

    text: Stack
    image: Stack
    joint: Stack

    def __call__(self, xs: States, *, slots: Slots, condition: States) -> tuple[States, KeysValues]:
        """As ``Stack``; keys and values are those of the joint stack."""
        apart = split(slots, {lane: x.shape[1] for lane, x in xs.items()})
        text, _ = self.text({"text": xs["text"]}, slots=apart["text"])
        image, _ = self.image({"image": xs["image"]}, slots=apart["image"], condition={"image": condition["image"]})
        return self.joint(text | image, slots=slots, condition=condition)


def lumina2(config: Config, *, dtype: DTypeLike) -> Component:
    """``Lumina2Transformer2DModel``: reads ``text`` and ``mask``, whose real slots come first."""
    config = with_defaults(config, DEFAULTS)
    width = config["hidden_size"]
    norm = partial(RMSNorm, config["norm_eps"])
    told = partial(AdaNorm, norm, parts=("scale", "gate"), squash=jnp.tanh)
    module = Denoiser(
        PatchEmbed(width, config["patch_size"], dtype=dtype),
        condition={"time": TimeEmbed(min(width, 1024), steps=lambda time: 1 - time)},
        text=TextIn(Dense(width, use_bias=True, dtype=dtype), norm=norm()),
        backbone=Refined(
            text=stack(config, config["num_refiner_layers"], norm, dtype=dtype),
            image=stack(config, config["num_refiner_layers"], told, dtype=dtype),
            joint=stack(config, config["num_layers"], told, dtype=dtype),
        ),
        norm=AdaNorm(BARE, parts=("scale",)),
        channels=config["out_channels"] or config["in_channels"],
        positions=after_the_text,
        finish=jnp.negative,
    )
    text = transformer.floats(1, transformer.TEXT, config["cap_feat_dim"])
    return transformer.component(module, config, RULES, channels=config["in_channels"], text=text)


def stack(config: Config, depth: int, norm: Callable[..., nn.Module], *, dtype: DTypeLike) -> Stack:
    """Layers of one expert. norm: before attention and mlp; after them it is always a plain one."""
    width, heads = config["hidden_size"], config["num_attention_heads"]
    head_dim, multiple = width // heads, config["multiple_of"]
    hidden = int((config["ffn_dim_multiplier"] or 1.0) * 4 * width)
    block = partial(
        Block,
        num_heads=heads,
        head_dim=head_dim,
        num_kv_heads=config["num_kv_heads"],
        mlp=partial(GatedMlp, -(-hidden // multiple) * multiple, dtype=dtype),
        route={"image": "main", "text": "main"},
        pre_norm=norm,
        post_norm=partial(RMSNorm, config["norm_eps"]),
        qk_norm=partial(RMSNorm, 1e-5),
        dtype=dtype,
    )
    rope = Rope(head_dim, sections=tuple(axis // 2 for axis in config["axes_dim_rope"]), pairing=NEIGHBOURS)
    return Stack(block, depth, rope, norm=None)


def after_the_text(grid: Grid, mask: Bool[Array, "B S"]) -> tuple[Int[Array, "B T A"], Int[Array, "B S A"]]:
    """(index, row, column) of the picture's slots and of the text's."""
    place = np.stack(np.indices(grid), -1).reshape(-1, 2)
    length = jnp.broadcast_to(jnp.sum(mask, -1, dtype=jnp.int32)[:, None, None], (mask.shape[0], len(place), 1))
    image = jnp.concatenate([length, jnp.broadcast_to(jnp.asarray(place, jnp.int32), (*length.shape[:2], 2))], -1)
    index = jnp.broadcast_to(jnp.arange(mask.shape[1], dtype=jnp.int32), mask.shape)
    return image, jnp.pad(index[..., None], ((0, 0), (0, 0), (0, 2)))


def layer_rules(name: str, path: str) -> tuple[Rule, ...]:
    """Of the layers of one stack; rules of what they lack do nothing."""
    block = rf"{name}.(\d+)"
    return (
        *transformer.attention(f"{block}.attn", path, "main"),
        *transformer.modulation(f"{block}.norm1.linear", f"{path}/attn_norm_main", f"{path}/mlp_norm_main"),
        *(
            Rule(f"{block}.feed_forward.linear_{i}.weight", f"{path}/mlp_main/{ours}/kernel", "f d -> d f")
            for i, ours in ((1, "gate"), (2, "down"), (3, "up"))
        ),
        Rule(f"{block}.norm2.weight", f"{path}/attn_post_norm_main/scale"),
        Rule(f"{block}.ffn_norm2.weight", f"{path}/mlp_post_norm_main/scale"),
    )


def norms_before(name: str, path: str, *, first: str, inside: str) -> tuple[Rule, Rule]:
    """first: what the published norm before attention is called. inside: where an adaptive norm has its plain one."""
    return (
        Rule(rf"{name}.(\d+).{first}.weight", f"{path}/attn_norm_main{inside}/scale"),
        Rule(rf"{name}.(\d+).ffn_norm1.weight", f"{path}/mlp_norm_main{inside}/scale"),
    )


STACKS = {"context_refiner": "text", "noise_refiner": "image", "layers": "joint"}
RULES = (
    Rule("x_embedder.weight", "embed/in/kernel", "d (p q c) -> p q c d"),
    Rule("x_embedder.bias", "embed/in/bias"),
    *transformer.two_maps("time_caption_embed.timestep_embedder", "condition_time/mlp"),
    Rule("time_caption_embed.caption_embedder.0.weight", "text/norm/scale"),
    *dense("time_caption_embed.caption_embedder.1", "text/project"),
    *(rule for name, lane in STACKS.items() for rule in layer_rules(name, f"backbone/{lane}/layer")),
    *norms_before("context_refiner", "backbone/text/layer", first="norm1", inside=""),
    *norms_before("noise_refiner", "backbone/image/layer", first="norm1.norm", inside="/norm"),
    *norms_before("layers", "backbone/joint/layer", first="norm1.norm", inside="/norm"),
    *transformer.modulation("norm_out.linear_1", "norm"),
    *transformer.patches_out("norm_out.linear_2"),
)
