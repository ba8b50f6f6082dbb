"""The VQGANs of Chameleon (arXiv:2405.09818, section 2.1) and Janus (2410.13848, section 3.1)."""

from typing import Any

from unified_jax.codecs.discrete import LadderCodec, LadderTokenizer
from unified_jax.codecs.ladder import ATTENTIVE, PLAIN, Decoder
from unified_jax.codecs.quantisers.base import unchanged, unit
from unified_jax.codecs.quantisers.nearest import Nearest
from unified_jax.core.types import DTypeLike
from unified_jax.models.codecs.ladder import Names, codes, decoder_rules, encoder_rules
from unified_jax.models.codecs.picture import picture_codec
from unified_jax.models.codecs.transformers_ladder import PREFIX, encoder, widths
from unified_jax.models.published import Component, Config, with_defaults
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


def chameleon_vqgan(config: Config, *, dtype: DTypeLike) -> Component:
    """``ChameleonVQVAE``, which transformers publishes without a decoder. Attention is placed by ``resolution``.

    Raises ValueError for an ``attn_type`` that is not known.
    """
    config = with_defaults(config, CHAMELEON_DEFAULTS)
    placed = config["attn_resolutions"] or ()
    without = (PLAIN, Names(middle=("mid.block_1", "mid.block_2")), ())
    kinds = {"vanilla": (ATTENTIVE, Names(), placed), "none": without, None: without}
    if config["attn_type"] not in kinds:
        raise ValueError(f"attn_type {config['attn_type']!r}; known are 'vanilla', 'none' and null")
    middle, names, placed = kinds[config["attn_type"]]
    levels = range(len(config["channel_multiplier"]))
    attended = tuple(level for level in levels if config["resolution"] >> level in placed)
    down = encoder(config, attended=attended, middle=middle, dtype=dtype)
    module = LadderTokenizer(encoder=down, **bottleneck(config, dtype=dtype))
    rules = (*codes(), *encoder_rules(names, levels=len(levels), depth=config["num_res_blocks"]))
    return picture_codec(module, config, rules, prefix=PREFIX)


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
        **bottleneck(config, dtype=dtype, read=unit),
    )
    names = Names(up="up.{back}")
    rules = (
        *codes(),
        *encoder_rules(names, levels=levels, depth=depth),
        *decoder_rules(names, levels=levels, depth=depth + 1),
    )
    return picture_codec(module, config, rules, prefix=PREFIX)


def bottleneck(config: Config, *, dtype: DTypeLike, **fields: Any) -> dict[str, Any]:
    """What stands between the ladders. fields: of ``Nearest``."""
    return dict(
        to_code=Dense(config["embed_dim"], use_bias=True, dtype=dtype),
        quantiser=Nearest(config["num_embeddings"], config["embed_dim"], measure=unchanged, **fields),
        from_code=Dense(config["latent_channels"], use_bias=True, dtype=dtype),
    )
