"""LlamaGen's tokenizer (arXiv:2406.06525, section 2.2; ``tokenizer/tokenizer_image/vq_model.py`` of its repository)."""

from functools import partial

from unified_jax.codecs.discrete import LadderCodec
from unified_jax.codecs.ladder import Decoder, Encoder
from unified_jax.codecs.quantisers.base import unchanged, unit
from unified_jax.codecs.quantisers.nearest import Nearest
from unified_jax.core.types import DTypeLike
from unified_jax.models.codecs.ladder import Names, codes, decoder_rules, encoder_rules
from unified_jax.models.codecs.picture import picture_codec
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.conv import GroupNorm
from unified_jax.nn.dense import Dense

# The repository's own, of the tokenizer that halves sides four times.
DEFAULTS = {
    "codebook_size": 16384,
    "codebook_embed_dim": 8,
    "codebook_l2_norm": True,
    "encoder_ch_mult": (1, 1, 2, 2, 4),
    "decoder_ch_mult": (1, 1, 2, 2, 4),
    "z_channels": 256,
    "ch": 128,
    "num_res_blocks": 2,
    "norm_num_groups": 32,
}
NAMES = Names(
    down="conv_blocks.{level}",
    up="conv_blocks.{back}",
    block="res.{i}",
    attention="attn.{i}",
    middle=("mid.0", "mid.1", "mid.2"),
)


def llamagen_vq(config: Config, *, dtype: DTypeLike) -> Component:
    """The ladder with attention at its coarsest level; latents and vectors are compared, and read, on the unit sphere.

    Raises ValueError for an encoder and a decoder of different depths.
    """
    config = with_defaults(config, DEFAULTS)
    widths, up = (tuple(config["ch"] * m for m in config[f"{side}_ch_mult"]) for side in ("encoder", "decoder"))
    if len(widths) != len(up):
        raise ValueError(f"encoder_ch_mult has {len(widths)} levels, decoder_ch_mult {len(up)}: they must be as many")
    levels, depth, size = len(widths), config["num_res_blocks"], config["codebook_size"]
    shared = dict(norm=partial(GroupNorm, config["norm_num_groups"]), attended=(levels - 1,), dtype=dtype)
    module = LadderCodec(
        encoder=Encoder(widths, depth, config["z_channels"], **shared),
        to_code=Dense(config["codebook_embed_dim"], use_bias=True, dtype=dtype),
        quantiser=Nearest(
            size, config["codebook_embed_dim"], measure=unit if config["codebook_l2_norm"] else unchanged
        ),
        from_code=Dense(config["z_channels"], use_bias=True, dtype=dtype),
        decoder=Decoder(up, depth + 1, 3, **shared),
    )
    rules = (
        *codes(),
        *encoder_rules(NAMES, levels=levels, depth=depth),
        *decoder_rules(NAMES, levels=levels, depth=depth + 1),
    )
    return picture_codec(module, config, rules, skip=r"quantize\.codebook_used")  # statistics of training
