"""diffusers' ``VQModel``: the VQGAN of latent diffusion (arXiv:2112.10752), and MoVQ (2209.09002)."""

from functools import partial

from unified_jax.codecs.discrete import GuidedLadderCodec, LadderCodec
from unified_jax.codecs.ladder import Decoder, Encoder
from unified_jax.codecs.quantisers.base import unchanged
from unified_jax.codecs.quantisers.nearest import Nearest
from unified_jax.core.types import DTypeLike
from unified_jax.models.codecs.diffusers_ladder import DOWN, FORMER, UP, attended, ladder, rules
from unified_jax.models.codecs.ladder import codes
from unified_jax.models.codecs.picture import picture_codec
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.conv import GroupNorm, SpatialNorm
from unified_jax.nn.dense import Dense

DEFAULTS = {"vq_embed_dim": None, "norm_type": "group", "mid_block_add_attention": True}  # younger than some files


def vq_model(config: Config, *, dtype: DTypeLike) -> Component:
    """``VQModel``; with ``norm_type`` spatial a MoVQ.

    Raises ValueError for block types, an activation or a norm that are not known.
    """
    config = with_defaults(config, DEFAULTS)
    kinds = {"group": (LadderCodec, None), "spatial": (GuidedLadderCodec, SpatialNorm)}
    if config["norm_type"] not in kinds:
        raise ValueError(f"norm_type {config['norm_type']!r}; known are {', '.join(kinds)}")
    kind, guided = kinds[config["norm_type"]]
    group = partial(GroupNorm, config["norm_num_groups"])
    shared = ladder(config, norm=group, dtype=dtype)
    width = config["vq_embed_dim"] or config["latent_channels"]
    depth = config["layers_per_block"]
    module = kind(
        encoder=Encoder(
            depth=depth, out=config["latent_channels"], attended=attended(config["down_block_types"], DOWN), **shared
        ),
        to_code=Dense(width, use_bias=True, dtype=dtype),
        quantiser=Nearest(config["num_vq_embeddings"], width, measure=unchanged),
        from_code=Dense(config["latent_channels"], use_bias=True, dtype=dtype),
        decoder=Decoder(
            depth=depth + 1,
            out=config["out_channels"],
            attended=attended(config["up_block_types"][::-1], UP),
            **shared | dict(norm=guided or group),
        ),
    )
    return picture_codec(module, config, (*codes(), *rules(config)), stem="diffusion_pytorch_model", former=FORMER)
