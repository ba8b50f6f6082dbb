"""VAR's tokenizer: a VQGAN whose codes are those of ever larger pictures (arXiv:2404.02905, section 3.2;
``models/vqvae.py`` of github.com/FoundationVision/VAR).

The folder: config.json with ``"model_type": "var_vae"`` and the constructor's arguments, vae.pth
(``vae_ch160v4096z32.pth``).
"""

from collections.abc import Iterable, Iterator
from functools import partial

import jax
import jax.numpy as jnp

from unified_jax.codecs.discrete import LadderCodec
from unified_jax.codecs.ladder import Decoder, Encoder
from unified_jax.codecs.quantisers.base import unchanged
from unified_jax.codecs.quantisers.nearest import Nearest
from unified_jax.codecs.quantisers.scales import Scales
from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import under
from unified_jax.interop.rules import Rule
from unified_jax.models.codecs.ladder import Names, conv, decoder_rules, encoder_rules
from unified_jax.models.published import Component, Config, Published, with_defaults
from unified_jax.nn.conv import Conv, GroupNorm

# The repository's own; published are 4096 codes of 32 channels, ch 160.
DEFAULTS = {
    "ch_mult": (1, 1, 2, 2, 4),
    "num_res_blocks": 2,
    "norm_num_groups": 32,
    "using_znorm": False,
    "quant_conv_ks": 3,
    "quant_resi": 0.5,
    "share_quant_resi": 4,
    "v_patch_nums": (1, 2, 3, 4, 5, 6, 8, 10, 13, 16),
}


def var_vae(config: Config, *, dtype: DTypeLike) -> Component:
    """Codes of a picture, all scales one after another. Raises ValueError for codes compared on the unit sphere."""
    config = with_defaults(config, DEFAULTS)
    if config["using_znorm"]:
        raise ValueError("using_znorm true: no published VAR has it, and it is not known here")
    widths, depth = tuple(config["ch"] * m for m in config["ch_mult"]), config["num_res_blocks"]
    levels, channels, sides = len(widths), config["z_channels"], tuple(config["v_patch_nums"])
    shared = dict(norm=partial(GroupNorm, config["norm_num_groups"]), attended=(levels - 1,), dtype=dtype)
    between = partial(Conv, channels, config["quant_conv_ks"], dtype=dtype)
    stage = partial(Nearest, config["vocab_size"], channels, measure=unchanged)
    module = LadderCodec(
        encoder=Encoder(widths, depth, channels, **shared),
        to_code=between(),
        quantiser=Scales(stage, sides, convs=config["share_quant_resi"], blend=config["quant_resi"]),
        from_code=between(),
        decoder=Decoder(widths, depth + 1, 3, **shared),
    )
    side = sides[-1] * module.factor
    phi = (rule for i in range(config["share_quant_resi"]) for rule in _phi(i))
    down = encoder_rules(Names(), levels=levels, depth=depth)
    up = decoder_rules(Names(), levels=levels, depth=depth + 1)
    published = Published(
        config,
        under("vae.", (*_together((*down, *up)), *BETWEEN, *phi)),
        skip=r"vae\.quantize\.ema_vocab_hit_SV",  # statistics of training
        stems=("vae",),
    )
    return Component(module, (jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32),), published)


def _together(rules: Iterable[Rule]) -> Iterator[Rule]:
    """The rules with q, k and v of each attention as one tensor."""
    for rule in rules:
        place, _, kind = rule.pattern.rpartition(".")
        place, _, name = place.rpartition(".")
        if name == "q":
            paths = tuple(rule.path.replace("/q/", f"/{x}/") for x in "qkv")
            yield Rule(f"{place}.qkv.{kind}", paths, FUSED[kind])
        elif name not in ("k", "v"):
            yield rule


def _phi(i: int) -> tuple[Rule, Rule]:
    return conv(f"quantize.quant_resi.qresi_ls.{i}", f"quantiser/phi_{i}")


FUSED = {"weight": "(three h c) d 1 1 -> three d h c", "bias": "(three h c) -> three h c"}
BETWEEN = (
    *conv("quant_conv", "to_code"),
    *conv("post_quant_conv", "from_code"),
    Rule("quantize.embedding.weight", "quantiser/codebook/codebook"),
)
