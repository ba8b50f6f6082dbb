"""The video codecs of Wan 2.1, Wan 2.2 and Qwen-Image (arXiv:2503.20314, section 4.1; arXiv:2508.02324, section 2.3).

Latents are scaled by ``latents_mean`` and ``latents_std`` in the published pipelines (``pipeline_wan.py``,
``pipeline_qwenimage.py``), not in the codec: that is ``module.scale``.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.codecs.causal_ladder import AverageBlocks, Decoder, DoubleSides, Encoder, HalveSides, RepeatBlocks
from unified_jax.codecs.kl_video import KlVideo
from unified_jax.codecs.posterior import Scale
from unified_jax.core.types import DTypeLike
from unified_jax.models.codecs.wan_rules import bridged_rules, plain_rules
from unified_jax.models.published import Component, Config, Published
from unified_jax.nn.causal_conv import DoubleFrames, HalveFrames


def wan(config: Config, *, dtype: DTypeLike) -> Component:
    """``AutoencoderKLWan``: of Wan 2.1, or with ``is_residual`` of Wan 2.2."""
    return (_bridged if config.get("is_residual") else _plain)(config, dtype)


def qwen_image(config: Config, *, dtype: DTypeLike) -> Component:
    """``AutoencoderKLQwenImage``: the networks of Wan 2.1."""
    return _plain(config, dtype)


def _plain(config: Config, dtype: DTypeLike) -> Component:
    narrow = partial(DoubleSides, 2)
    return _component(config, dtype, ways=({}, {}), climb=narrow, rules=plain_rules(*_levels(config)))


def _bridged(config: Config, dtype: DTypeLike) -> Component:
    blocks = [(time, 2, 2) for time in _times(config)]
    down = [partial(AverageBlocks, block=block) for block in (*blocks, (1, 1, 1))]
    up = [None, *(partial(RepeatBlocks, block=block) for block in blocks)]
    ways = tuple({"bridges": tuple(bridges)} for bridges in (down, up))
    return _component(config, dtype, ways=ways, climb=DoubleSides, rules=bridged_rules(*_levels(config)))


def _component(config: Config, dtype: DTypeLike, *, ways: Any, climb: Any, rules: Any) -> Component:
    if config.get("attn_scales"):
        raise ValueError(f"attn_scales {config['attn_scales']}; known is [], attention in the middle alone")
    times, depth, base, channels = _times(config), config["num_res_blocks"], config["base_dim"], config["z_dim"]
    patch, mean, std = config.get("patch_size") or 1, tuple(config["latents_mean"]), tuple(config["latents_std"])
    widths = lambda base: tuple(base * multiple for multiple in config["dim_mult"])
    steps = lambda sides, frames: tuple((sides, frames)[:time] for time in times)
    encoder = Encoder(widths(base), depth, 2 * channels, steps=steps(HalveSides, HalveFrames), dtype=dtype, **ways[0])
    decoder = Decoder(
        widths(config.get("decoder_base_dim") or base),
        depth + 1,
        config.get("out_channels", config.get("input_channels", 3)),
        steps=steps(climb, DoubleFrames),
        dtype=dtype,
        **ways[1],
    )
    factor, frames = patch * 2 ** len(times), 2 ** times.count(2)
    module = KlVideo(encoder, decoder, channels, factor, frames, patch, Scale(mean, std), dtype)
    inputs = jax.ShapeDtypeStruct((1, 1 + frames, factor, factor, 3), jnp.float32)
    return Component(module, [inputs], Published(config, rules, stem="diffusion_pytorch_model"))


def _levels(config: Config) -> tuple[int, int]:
    """How many levels there are, and ResBlocks at each of the encoder."""
    return len(config["dim_mult"]), config["num_res_blocks"]


def _times(config: Config) -> list[int]:
    """By how much every step divides time, the finest first."""
    return [2 if halved else 1 for halved in config["temperal_downsample"]]
