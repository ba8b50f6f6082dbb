"""Show-o's tokenizer of pictures, ``MAGVITv2``: a ladder around bits (arXiv:2310.05737, section 3; arXiv:2408.12528).

Levels differ in how many blocks they have. The published file has its sizes in code; they are the defaults here.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from unified_jax.codecs.discrete import LadderCodec
from unified_jax.codecs.ladder import Decoder, Encoder, Ladder
from unified_jax.codecs.quantisers.binary import falling, lookup_free
from unified_jax.core.types import DTypeLike
from unified_jax.interop.rules import Rule
from unified_jax.models.codecs.ladder import Names, decoder_rules, encoder_rules, product
from unified_jax.models.codecs.picture import picture_codec
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.conv import GroupNorm
from unified_jax.nn.dense import Dense

DEFAULTS = {"encoder": {}, "decoder": {}, "codebook_dim": 13, "norm_num_groups": 32}
LADDER = {"ch": 128, "z_channels": 13, "out_ch": 3, "resolution": 256, "attn_resolutions": ()}
ENCODER = LADDER | {"ch_mult": (1, 2, 2, 4, 4), "num_res_blocks": (4, 3, 4, 3, 4)}
DECODER = LADDER | {"ch_mult": (1, 1, 2, 2, 4), "num_res_blocks": (4, 4, 3, 4, 3)}


def magvit(config: Config, *, dtype: DTypeLike) -> Component:
    """``MAGVITv2``."""
    config = with_defaults(config, DEFAULTS)
    down, up = (with_defaults(Config(config[x]), y) for x, y in (("encoder", ENCODER), ("decoder", DECODER)))
    bits, norm = config["codebook_dim"], partial(GroupNorm, config["norm_num_groups"])
    module = LadderCodec(
        encoder=_ladder(Encoder, down, out=down["z_channels"], norm=norm, dtype=dtype),
        to_code=Dense(bits, use_bias=True, dtype=dtype),
        quantiser=lookup_free(width=bits, powers=falling),
        from_code=Dense(up["z_channels"], use_bias=True, dtype=dtype),
        decoder=_ladder(Decoder, up, out=up["out_ch"], norm=norm, dtype=dtype),
    )
    return picture_codec(module, config, _rules(down, up), stem="pytorch_model", constants=_constants(bits))


def _ladder(kind: type[Ladder], config: Config, **fields) -> Ladder:
    """One way of a config. Attention stands where the sides of a picture of ``resolution`` are listed."""
    levels = range(len(config["ch_mult"]))
    attended = tuple(level for level in levels if config["resolution"] >> level in config["attn_resolutions"])
    widths = tuple(config["ch"] * multiplier for multiplier in config["ch_mult"])
    return kind(widths, tuple(config["num_res_blocks"]), attended=attended, **fields)


def _rules(down: Config, up: Config) -> Iterator[Rule]:
    yield from encoder_rules(Names(), levels=len(down["ch_mult"]), depth=max(down["num_res_blocks"]))
    yield from decoder_rules(Names(), levels=len(up["ch_mult"]), depth=max(up["num_res_blocks"]))
    yield from product("encoder.quant_conv", "to_code")
    yield from product("decoder.post_quant_conv", "from_code")


def _constants(bits: int) -> dict[str, np.ndarray]:
    """What the reference holds beside its weights: the value of every bit, and every code's vector."""
    powers = 2 ** np.arange(bits)[::-1]
    corners = np.where(np.arange(2**bits)[:, None] & powers, 1.0, -1.0).astype(np.float32)
    return {"quantize.embedding": corners, "quantize.power_vals": powers}
