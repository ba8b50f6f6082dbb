"""diffusers' ``VQModel``: the VQGAN of latent diffusion (arXiv:2112.10752), and MoVQ (2209.09002)."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import flax.linen as nn

from unified_jax.codecs.discrete import GuidedLadderCodec, LadderCodec
from unified_jax.codecs.ladder import Decoder, Encoder
from unified_jax.codecs.quantisers.base import unchanged
from unified_jax.codecs.quantisers.nearest import Nearest
from unified_jax.core.types import DTypeLike
from unified_jax.interop.rules import Rule
from unified_jax.models.codecs.ladder import Names, decoder_rules, encoder_rules
from unified_jax.models.codecs.vqgan import CODES, WHOLE, WITHOUT, component
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.conv import GroupNorm, SpatialNorm
from unified_jax.nn.dense import Dense

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
FORMER = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
DEFAULTS = {"vq_embed_dim": None, "norm_type": "group", "mid_block_add_attention": True}  # younger than some files
DOWN = {"DownEncoderBlock2D": False, "AttnDownEncoderBlock2D": True}  # whether ResBlocks are followed by attention
UP = {"UpDecoderBlock2D": False, "AttnUpDecoderBlock2D": True}


def vq_model(config: Config, *, dtype: DTypeLike) -> Component:
    """``VQModel``; with ``norm_type`` spatial a MoVQ.

    Raises ValueError for block types, an activation or a norm that are not known.
    """
    config = with_defaults(config, DEFAULTS)
    if config["act_fn"] != "silu":
        raise ValueError(f"act_fn {config['act_fn']!r}; known is 'silu'")
    kinds = {"group": (LadderCodec, None), "spatial": (GuidedLadderCodec, SpatialNorm)}
    if config["norm_type"] not in kinds:
        raise ValueError(f"norm_type {config['norm_type']!r}; known are {', '.join(kinds)}")
    kind, guided = kinds[config["norm_type"]]
    group = partial(GroupNorm, config["norm_num_groups"])
    down = ladder(config, norm=group, dtype=dtype)
    width = config["vq_embed_dim"] or config["latent_channels"]
    depth = config["layers_per_block"]
    module = kind(
        encoder=Encoder(
            depth=depth, out=config["latent_channels"], attended=attended(config["down_block_types"], DOWN), **down
        ),
        to_code=Dense(width, use_bias=True, dtype=dtype),
        quantiser=Nearest(config["num_vq_embeddings"], width, measure=unchanged),
        from_code=Dense(config["latent_channels"], use_bias=True, dtype=dtype),
        decoder=Decoder(
            depth=depth + 1,
            out=config["out_channels"],
            attended=attended(config["up_block_types"][::-1], UP),
            **down | dict(norm=guided or group),
        ),
    )
    return component(module, config, (*CODES, *rules(config)), stem="diffusion_pytorch_model", former=FORMER)


def ladder(config: Config, *, norm: Callable[..., nn.Module], dtype: DTypeLike) -> dict[str, Any]:
    """The fields that both of diffusers' ladders share."""
    middle = WHOLE if config["mid_block_add_attention"] else WITHOUT
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
