"""The video codecs of Wan 2.1, Wan 2.2 and Qwen-Image (arXiv:2503.20314, section 4.1; arXiv:2508.02324, section 2.3).

Latents are scaled by ``latents_mean`` and ``latents_std`` in the published pipelines (``pipeline_wan.py``,
``pipeline_qwenimage.py``), not in the codec: that is ``module.scale``.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp

from unified_jax.codecs.causal_ladder import AverageBlocks, Decoder, DoubleSides, Encoder, HalveSides, RepeatBlocks
from unified_jax.codecs.kl_video import KlVideo
from unified_jax.codecs.ladder import Piece
from unified_jax.codecs.posterior import Scale
from unified_jax.core.types import DTypeLike
from unified_jax.interop.rules import Rule
from unified_jax.models.codecs.wan_rules import bridged_rules, plain_rules
from unified_jax.models.published import Component, Config, Published
from unified_jax.nn.causal_conv import DoubleFrames, HalveFrames


def wan(config: Config, *, dtype: DTypeLike) -> Component:
    """``AutoencoderKLWan``: of Wan 2.1, or with ``is_residual`` of Wan 2.2."""
    return (bridged if config.get("is_residual") else plain)(config, dtype=dtype)


def qwen_image(config: Config, *, dtype: DTypeLike) -> Component:
    """``AutoencoderKLQwenImage``: the networks of Wan 2.1."""
    return plain(config, dtype=dtype)


def plain(config: Config, *, dtype: DTypeLike) -> Component:
    """Wan 2.1: every step up halves the channels."""
    rules = plain_rules(levels=len(config["dim_mult"]), depth=config["num_res_blocks"])
    return _component(config, rules, larger=partial(DoubleSides, 2), dtype=dtype)


def bridged(config: Config, *, dtype: DTypeLike) -> Component:
    """Wan 2.2: blocks of places go around the levels as channels."""
    blocks = [(time, 2, 2) for time in _times(config)]
    return _component(
        config,
        bridged_rules(levels=len(config["dim_mult"]), depth=config["num_res_blocks"]),
        larger=DoubleSides,
        bridges_down=[partial(AverageBlocks, block=block) for block in (*blocks, (1, 1, 1))],
        bridges_up=[None, *(partial(RepeatBlocks, block=block) for block in blocks)],
        dtype=dtype,
    )


def _component(
    config: Config,
    rules: Sequence[Rule],
    *,
    larger: Piece,
    bridges_down: Sequence[Piece] = (),
    bridges_up: Sequence[Piece | None] = (),
    dtype: DTypeLike,
) -> Component:
    if config.get("attn_scales"):
        raise ValueError(f"attn_scales {config['attn_scales']}; known is [], attention in the middle alone")
    patch = config.get("patch_size") or 1
    if (read := config.get("in_channels", config.get("input_channels", 3))) != 3 * patch**2:
        raise ValueError(f"{read} channels of {patch} x {patch} pixels: only pictures of 3 channels are known here")
    times, depth, base, channels = _times(config), config["num_res_blocks"], config["base_dim"], config["z_dim"]
    widths = lambda base: tuple(base * multiple for multiple in config["dim_mult"])
    steps = lambda sides, frames: tuple((sides, frames)[:time] for time in times)
    encoder = Encoder(
        widths(base),
        depth,
        2 * channels,
        steps=steps(HalveSides, HalveFrames),
        bridges=tuple(bridges_down),
        dtype=dtype,
    )
    decoder = Decoder(
        widths(config.get("decoder_base_dim") or base),
        depth + 1,
        config.get("out_channels", config.get("input_channels", 3)),
        steps=steps(larger, DoubleFrames),
        bridges=tuple(bridges_up),
        dtype=dtype,
    )
    frames = 2 ** times.count(2)
    factor, scale = patch * 2 ** len(times), Scale(tuple(config["latents_mean"]), tuple(config["latents_std"]))
    module = KlVideo(encoder, decoder, channels, factor, frames, patch, scale, dtype)
    pixels = jax.ShapeDtypeStruct((1, 1 + frames, factor, factor, 3), jnp.float32)
    return Component(module, (pixels,), Published(config, rules, stem="diffusion_pytorch_model"))


def _times(config: Config) -> list[int]:
    """By how much every step divides time, the finest first."""
    return [2 if halved else 1 for halved in config["temperal_downsample"]]
