"""diffusers' ``AutoencoderDC``: DC-AE (arXiv:2410.10733) and the codec of Sana (arXiv:2410.10629, section 2.1).

The published pipelines give denoisers z * scaling_factor: that is ``module.scale``.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from unified_jax.codecs import deep
from unified_jax.codecs.ladder import Piece
from unified_jax.codecs.posterior import Scale
from unified_jax.core.types import DTypeLike
from unified_jax.interop.rules import Rule
from unified_jax.models.codecs.ladder import TRAINING_STEPS, conv, fixed_norm, product
from unified_jax.models.codecs.picture import picture_codec
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.conv import Conv
from unified_jax.nn.mlp import Activation, find_activation
from unified_jax.nn.norm import FixedNorm, RMSNorm
from unified_jax.nn.resize_conv import Upsample

RMS = partial(RMSNorm, 1e-5, use_bias=True)
NORMS = {"rms_norm": RMS, "batch_norm": partial(FixedNorm, 1e-5)}
DOWN = {"pixel_unshuffle": deep.FoldedConv, "conv": deep.StridedConv, "Conv": deep.StridedConv}
UP = {"pixel_shuffle": deep.UnfoldedConv, "interpolate": Upsample}
# Fields younger than the published files, which have none of them.
DEFAULTS = {"encoder_out_shortcut": True, "decoder_in_shortcut": True, "decoder_conv_act_fn": "relu"}


def autoencoder_dc(config: Config, *, dtype: DTypeLike) -> Component:
    """``AutoencoderDC``. Raises ValueError for pieces that are not known, and for a codec without its shortcuts."""
    config = with_defaults(config, DEFAULTS)
    if not (config["encoder_out_shortcut"] and config["decoder_in_shortcut"]):
        raise ValueError("encoder_out_shortcut and decoder_in_shortcut must be true: no other codec is known")
    down = _choose(DOWN, config["downsample_block_type"], "downsample_block_type")
    up = _choose(UP, config["upsample_block_type"], "upsample_block_type")
    activation = find_activation(config["decoder_conv_act_fn"])
    decoded = dict(norms=config["decoder_norm_types"], activations=config["decoder_act_fns"])
    module = deep.DeepAutoencoder(
        deep.Encoder(
            *_levels(config, "encoder", norms="rms_norm", activations="silu"),
            config["latent_channels"],
            start=Conv if _first(config, "encoder") == 0 else down,
            step=down,
            dtype=dtype,
        ),
        deep.Decoder(
            *_levels(config, "decoder", **decoded),
            config["in_channels"],
            finish=Conv if _first(config, "decoder") == 0 else up,
            step=up,
            norm=RMS,
            activation=activation,
            dtype=dtype,
        ),
        factor=2 ** (len(config["encoder_block_out_channels"]) - 1),
        scale=Scale(0.0, 1 / config["scaling_factor"]),
    )
    rules = (*way_rules(config, "encoder", "down"), *way_rules(config, "decoder", "up"))
    return picture_codec(module, config, rules, skip=TRAINING_STEPS, stem="diffusion_pytorch_model")


def _first(config: Config, way: str) -> int:
    """The finest level that has blocks: 1 where pixels are halved before the first of them, else 0."""
    counts = config[f"{way}_layers_per_block"]
    first = 0 if counts[0] else 1
    if not all(counts[first:]):
        raise ValueError(f"{way}_layers_per_block {list(counts)}: only the first level may be without blocks")
    return first


def _levels(
    config: Config, way: str, *, norms: str | Sequence[str], activations: str | Sequence[str]
) -> tuple[tuple[int, ...], tuple[tuple[Piece, ...], ...]]:
    """The widths and the pieces of every level with blocks, the finest first."""
    first, widths = _first(config, way), config[f"{way}_block_out_channels"]
    each = lambda value: [value] * len(widths) if isinstance(value, str) else value
    counts, scales = config[f"{way}_layers_per_block"], config[f"{way}_qkv_multiscales"]
    kinds = zip(each(config[f"{way}_block_types"]), each(norms), each(activations), scales, counts)
    blocks = [
        (
            _choose(BLOCKS, kind, f"{way}_block_types")(
                norm=_choose(NORMS, norm, f"{way}_norm_types"),
                activation=find_activation(activation),
                head_dim=config["attention_head_dim"],
                scales=tuple(around),
            ),
        )
        * count
        for kind, norm, activation, around, count in kinds
    ]
    return tuple(widths[first:]), tuple(blocks[first:])


def _plain(*, norm: Piece, activation: Activation, head_dim: int, scales: tuple[int, ...]) -> Piece:
    return partial(deep.PlainBlock, norm, activation)


def _attention(*, norm: Piece, activation: Activation, head_dim: int, scales: tuple[int, ...]) -> Piece:
    return partial(deep.AttentionBlock, head_dim, scales, norm, gate_norm=RMS)


BLOCKS = {"ResBlock": _plain, "EfficientViTBlock": _attention}


def _choose(table: Mapping[str, Any], name: str, field: str) -> Any:
    if name not in table:
        raise ValueError(f"{field} {name!r}; known are {', '.join(table)}")
    return table[name]


def way_rules(config: Config, way: str, step: str) -> Iterator[Rule]:
    """The rules of the encoder (step down) or of the decoder (step up)."""
    first, counts, scales = _first(config, way), config[f"{way}_layers_per_block"], config[f"{way}_qkv_multiscales"]
    for name, path in (("conv_in", "in"), ("conv_out", "out")):  # a step where the first level has no blocks
        yield from (*conv(f"{way}.{name}", f"{way}/{path}"), *conv(f"{way}.{name}.conv", f"{way}/{path}/conv"))
    yield from fixed_norm(f"{way}.norm_out", f"{way}/norm")
    last = len(counts) - 1
    for level in range(first, len(counts)):
        name = f"{way}.{step}_blocks.{level}"
        before = 1 if step == "up" and level < last else 0  # the decoder's steps come ahead of their blocks
        place = 0 if step == "up" else counts[level]
        if level < last:
            yield from conv(f"{name}.{place}.conv", f"{way}/{step}_{level - first + 1}/conv")
        for i in range(counts[level]):
            path = f"{way}/level_{level - first}_block_{i}"
            yield from plain_rules(f"{name}.{before + i}", path)
            yield from attention_rules(f"{name}.{before + i}", path, scales=len(scales[level]))


def plain_rules(name: str, path: str) -> Iterator[Rule]:
    """A block of convolutions."""
    yield from (*conv(f"{name}.conv1", f"{path}/conv_in"), *conv(f"{name}.conv2", f"{path}/conv_out"))
    yield from fixed_norm(f"{name}.norm", f"{path}/norm")


def attention_rules(name: str, path: str, *, scales: int) -> Iterator[Rule]:
    """A block of attention and a gated convolution."""
    attention, gated = f"{path}/attention", f"{path}/gated"
    for ours, theirs in (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("o", "to_out")):
        yield Rule(f"{name}.attn.{theirs}.weight", f"{attention}/{ours}/kernel", "o i -> i o")
    for i in range(scales):
        published = f"{name}.attn.to_qkv_multiscale.{i}"
        yield from conv(f"{published}.proj_in", f"{attention}/window_{i}")
        yield Rule(f"{published}.proj_out.weight", f"{attention}/mix_{i}/kernel", "(g d) c 1 1 -> c g d")
    yield from fixed_norm(f"{name}.attn.norm_out", f"{attention}/norm")
    yield from product(f"{name}.conv_out.conv_inverted", f"{gated}/up")
    yield from conv(f"{name}.conv_out.conv_depth", f"{gated}/conv")
    yield from product(f"{name}.conv_out.conv_point", f"{gated}/down")
    yield from fixed_norm(f"{name}.conv_out.norm", f"{gated}/norm")
