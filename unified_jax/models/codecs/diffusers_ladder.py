"""The ladder as diffusers publishes it, in ``AutoencoderKL`` and ``VQModel``: its fields, and its names."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn

from unified_jax.codecs.ladder import ATTENTIVE, PLAIN
from unified_jax.core.types import DTypeLike
from unified_jax.interop.rules import Rule
from unified_jax.models.codecs.ladder import Names, decoder_rules, encoder_rules
from unified_jax.models.published import Config

NAMES = Names(
    down="down_blocks.{level}",
    up="up_blocks.{back}",
    block="resnets.{i}",
    attention="attentions.{i}",
    smaller="downsamplers.0.conv",
    larger="upsamplers.0.conv",
    middle=("mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1"),
    norm="conv_norm_out",
    shortcut="conv_shortcut",
    qkvo=("to_q", "to_k", "to_v", "to_out.0"),
    before="{}.group_norm".format,
    axes="",
)
# Of attention, in files older than diffusers 0.17: those of latent diffusion, and of Stable Diffusion 1 and 2.
FORMER = {
    r"\.query\.": ".to_q.",
    r"\.key\.": ".to_k.",
    r"\.value\.": ".to_v.",
    r"\.proj_attn\.": ".to_out.0.",
}
DOWN = {"DownEncoderBlock2D": False, "AttnDownEncoderBlock2D": True}  # whether ResBlocks are followed by attention
UP = {"UpDecoderBlock2D": False, "AttnUpDecoderBlock2D": True}


def ladder(config: Config, *, norm: Callable[..., nn.Module], dtype: DTypeLike) -> dict[str, Any]:
    """The fields that encoder and decoder share. Raises ValueError for an activation that is not known."""
    if config["act_fn"] != "silu":
        raise ValueError(f"act_fn {config['act_fn']!r}; known is 'silu'")
    middle = ATTENTIVE if config["mid_block_add_attention"] else PLAIN
    return dict(widths=tuple(config["block_out_channels"]), norm=norm, middle=middle, dtype=dtype)


def attended(types: Sequence[str], known: Mapping[str, bool]) -> tuple[int, ...]:
    """The levels with attention, from types in the order of levels. Raises ValueError for an unknown one."""
    if unknown := sorted(set(types) - set(known)):
        raise ValueError(f"block type {unknown[0]!r}; known are {', '.join(known)}")
    return tuple(level for level, kind in enumerate(types) if known[kind])


def rules(config: Config) -> Iterator[Rule]:
    """The rules of both ladders in diffusers' names."""
    names, levels, depth = NAMES, len(config["block_out_channels"]), config["layers_per_block"]
    if not config["mid_block_add_attention"]:
        names = dataclasses.replace(names, middle=(NAMES.middle[0], NAMES.middle[2]))
    yield from encoder_rules(names, levels=levels, depth=depth)
    if config.get("norm_type", "group") == "spatial":
        names = dataclasses.replace(names, before="{}.spatial_norm".format)
    yield from decoder_rules(names, levels=levels, depth=depth + 1)
