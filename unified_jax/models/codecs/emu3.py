"""Emu3's tokenizer of pictures and clips, ``Emu3VQVAE`` (arXiv:2409.18869, section 2.2)."""

from collections.abc import Iterator
from functools import partial

from unified_jax.codecs.discrete_clip import DiscreteClip, DoubleTime, HalveTime
from unified_jax.codecs.ladder import Decoder
from unified_jax.codecs.quantisers.base import unchanged
from unified_jax.codecs.quantisers.nearest import Nearest
from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import layer
from unified_jax.interop.rules import Rule
from unified_jax.models.codecs.ladder import TRAINING_STEPS, Names, decoder_rules, encoder_rules, fixed_norm
from unified_jax.models.codecs.picture import picture_codec
from unified_jax.models.codecs.transformers_ladder import PREFIX, encoder, widths
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.causal_conv import CausalConv
from unified_jax.nn.conv import Attention, ResBlock, SpatialNorm

NAMES = Names(
    down="down_block.down.{level}",
    up="up_block.up.{level}",
    middle=("middle_block.block_1", "middle_block.attn_1", "middle_block.block_2"),
    qkvo=("q_proj", "k_proj", "v_proj", "out_proj"),
    before=lambda name: name.replace("attn.", "attn_norms.").replace("attn_1", "attn_norm"),
    axes="",
)
DEFAULTS = {
    "codebook_size": 32768,
    "embed_dim": 4,
    "latent_channels": 4,
    "out_channels": 3,
    "temporal_downsample_factor": 4,
    "base_channels": 256,
    "channel_multiplier": (1, 2, 2, 4),
    "num_res_blocks": 2,
    "attn_resolutions": (3,),
    "num_attention_heads": 1,
}


def emu3_vqgan(config: Config, *, dtype: DTypeLike) -> Component:
    """``Emu3VQVAE``. Raises ValueError for a factor in time that is no power of two."""
    config = with_defaults(config, DEFAULTS)
    factor, depth, levels = config["temporal_downsample_factor"], config["num_res_blocks"], len(widths(config))
    times = factor.bit_length() - 1
    if 2**times != factor:
        raise ValueError(f"temporal_downsample_factor {factor}; it must be a power of two")
    attention = partial(Attention, num_heads=config["num_attention_heads"])
    fields = dict(attention=attention, attended=tuple(config["attn_resolutions"]), dtype=dtype)
    fields |= dict(middle=(ResBlock, attention, ResBlock))
    module = DiscreteClip(
        encoder=encoder(config, **fields),
        halve=HalveTime(times, depth, dtype),
        to_code=CausalConv(config["embed_dim"], size=1, dtype=dtype),
        quantiser=Nearest(config["codebook_size"], config["embed_dim"], measure=unchanged),
        from_code=CausalConv(config["latent_channels"], size=1, dtype=dtype),
        double=DoubleTime(times, depth, dtype),
        decoder=Decoder(widths(config), depth + 1, config["out_channels"], norm=SpatialNorm, **fields),
    )
    names = rules(levels=levels, depth=depth, times=times)
    return picture_codec(module, config, names, skip=TRAINING_STEPS, prefix=PREFIX)


def rules(*, levels: int, depth: int, times: int) -> Iterator[Rule]:
    """The table of names."""
    yield Rule("quantize.embedding.weight", "quantiser/codebook")
    yield from encoder_rules(NAMES, levels=levels, depth=depth)
    yield from decoder_rules(NAMES, levels=levels, depth=depth + 1)
    yield from causal("quant_conv", "to_code")
    yield from causal("post_quant_conv", "from_code")
    for side, ours in (("encoder", "halve"), ("decoder", "double")):
        for i in range(times):
            yield from causal(f"{side}.time_conv.{i}.conv", f"{ours}/{ours}_{i}")
        for i in range(depth):
            yield from time_block(f"{side}.time_res_stack.{i}", f"{ours}/block_{i}")


def causal(name: str, path: str) -> tuple[Rule, Rule]:
    """Weight and bias of a convolution over time."""
    return layer(f"{name}.conv", path, "o i f h w -> f h w i o")


def time_block(name: str, path: str) -> Iterator[Rule]:
    """A ResBlock over time."""
    for place, number in (("in", 1), ("out", 2)):
        yield from causal(f"{name}.conv{number}", f"{path}/conv_{place}")
        yield from fixed_norm(f"{name}.norm{number}", f"{path}/norm_{place}")
