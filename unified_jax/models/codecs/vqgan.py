"""The VQGANs of Chameleon (arXiv:2405.09818, section 2.1) and Janus (2410.13848, section 3.1)."""

from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.codecs.discrete import LadderCodec, LadderTokenizer
from unified_jax.codecs.ladder import Decoder, Encoder
from unified_jax.codecs.quantisers.base import unchanged, unit
from unified_jax.codecs.quantisers.nearest import Nearest
from unified_jax.core.types import DTypeLike
from unified_jax.interop.rules import Rule
from unified_jax.models.codecs.ladder import Names, decoder_rules, encoder_rules, product
from unified_jax.models.published import Component, Config, Published, with_defaults
from unified_jax.nn.conv import Attention, ResBlock
from unified_jax.nn.dense import Dense

LADDER_DEFAULTS = {
    "base_channels": 128,
    "channel_multiplier": (1, 1, 2, 2, 4),
    "num_res_blocks": 2,
    "latent_channels": 256,
}
CHAMELEON_DEFAULTS = LADDER_DEFAULTS | {
    "embed_dim": 256,
    "num_embeddings": 8192,
    "resolution": 512,
    "attn_resolutions": None,
    "attn_type": "vanilla",
}
JANUS_DEFAULTS = LADDER_DEFAULTS | {"embed_dim": 8, "num_embeddings": 16384, "out_channels": 3}
PREFIX = "vqmodel."  # in the files of whole models
WHOLE, WITHOUT = (ResBlock, Attention, ResBlock), (ResBlock, ResBlock)  # middles

CODES = (
    *product("quant_conv", "to_code"),
    *product("post_quant_conv", "from_code"),
    Rule("quantize.embedding.weight", "quantiser/codebook"),
)


def chameleon_vqgan(config: Config, *, dtype: DTypeLike) -> Component:
    """``ChameleonVQVAE``, which transformers publishes without a decoder. Attention is placed by ``resolution``.

    Raises ValueError for an ``attn_type`` that is not known.
    """
    config = with_defaults(config, CHAMELEON_DEFAULTS)
    placed = config["attn_resolutions"] or ()
    without = (WITHOUT, Names(middle=("mid.block_1", "mid.block_2")), ())
    kinds = {"vanilla": (WHOLE, Names(), placed), "none": without, None: without}
    if config["attn_type"] not in kinds:
        raise ValueError(f"attn_type {config['attn_type']!r}; known are 'vanilla', 'none' and null")
    middle, names, placed = kinds[config["attn_type"]]
    levels = range(len(config["channel_multiplier"]))
    attended = tuple(level for level in levels if config["resolution"] >> level in placed)
    down = encoder(config, attended=attended, middle=middle, dtype=dtype)
    module = LadderTokenizer(encoder=down, **codes(config, dtype=dtype))
    rules = (*CODES, *encoder_rules(names, levels=len(levels), depth=config["num_res_blocks"]))
    return component(module, config, rules, prefix=PREFIX)


def janus_vqgan(config: Config, *, dtype: DTypeLike) -> Component:
    """``JanusVQVAE``: attention at the coarsest level; vectors are put on the unit sphere where codes are read, and
    only there, which is how transformers computes it.
    """
    config = with_defaults(config, JANUS_DEFAULTS)
    levels, depth = len(config["channel_multiplier"]), config["num_res_blocks"]
    attended = (levels - 1,)
    module = LadderCodec(
        encoder=encoder(config, attended=attended, dtype=dtype),
        decoder=Decoder(widths(config), depth + 1, config["out_channels"], attended=attended, dtype=dtype),
        **codes(config, dtype=dtype, read=unit),
    )
    names = Names(up="up.{back}")
    rules = (
        *CODES,
        *encoder_rules(names, levels=levels, depth=depth),
        *decoder_rules(names, levels=levels, depth=depth + 1),
    )
    return component(module, config, rules, prefix=PREFIX)


def encoder(config: Config, *, dtype: DTypeLike, **fields: Any) -> Encoder:
    """The encoder of a config in transformers' field names."""
    return Encoder(widths(config), config["num_res_blocks"], config["latent_channels"], dtype=dtype, **fields)


def codes(config: Config, *, dtype: DTypeLike, **fields: Any) -> dict[str, Any]:
    """What stands between the ladders. fields: of ``Nearest``."""
    return dict(
        to_code=Dense(config["embed_dim"], use_bias=True, dtype=dtype),
        quantiser=Nearest(config["num_embeddings"], config["embed_dim"], measure=unchanged, **fields),
        from_code=Dense(config["latent_channels"], use_bias=True, dtype=dtype),
    )


def widths(config: Config) -> tuple[int, ...]:
    """The width of every level."""
    return tuple(config["base_channels"] * multiplier for multiplier in config["channel_multiplier"])


def component(module: nn.Module, config: Config, rules: Iterable[Rule], **layout: Any) -> Component:
    """A codec of pictures of any size that divides into whole codes. layout: further fields of ``Published``.

    Raises ValueError for pictures of other than three channels.
    """
    if (channels := config.get("in_channels", 3)) != 3:
        raise ValueError(f"in_channels {channels}: only pictures of 3 channels are known here")
    pixels = jax.ShapeDtypeStruct((1, module.factor, module.factor, 3), jnp.float32)
    return Component(module, (pixels,), Published(config, tuple(rules), **layout))
