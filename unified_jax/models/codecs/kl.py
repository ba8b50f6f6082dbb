"""diffusers' ``AutoencoderKL``: the codec of Stable Diffusion 1 to 3, SDXL and FLUX (arXiv:2112.10752, appendix G).

The published pipelines (``pipeline_stable_diffusion_3.py``, ``pipeline_flux.py``) give denoisers
(z - shift_factor) * scaling_factor, and with ``latents_mean`` and ``latents_std`` (``pipeline_stable_diffusion_xl.py``)
(z - latents_mean) * scaling_factor / latents_std: that is ``module.scale``.
"""

from functools import partial

from unified_jax.codecs.kl import KlPicture
from unified_jax.codecs.ladder import Decoder, Encoder
from unified_jax.codecs.posterior import Scale
from unified_jax.codecs.quantisers.base import unchanged
from unified_jax.core.types import DTypeLike
from unified_jax.models.codecs.diffusers_ladder import DOWN, FORMER, UP, attended, ladder, rules
from unified_jax.models.codecs.ladder import product
from unified_jax.models.codecs.picture import picture_codec
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.conv import GroupNorm
from unified_jax.nn.dense import Dense

# Fields younger than some published files: those of Stable Diffusion 1 have none of them.
DEFAULTS = {
    "scaling_factor": 0.18215,
    "shift_factor": None,
    "latents_mean": None,
    "latents_std": None,
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
}
PRODUCTS = (*product("quant_conv", "to_moments"), *product("post_quant_conv", "from_latents"))


def autoencoder_kl(config: Config, *, dtype: DTypeLike) -> Component:
    """``AutoencoderKL``. Raises ValueError for block types or an activation that are not known."""
    config = with_defaults(config, DEFAULTS)
    depth, channels = config["layers_per_block"], config["latent_channels"]
    shared = ladder(config, norm=partial(GroupNorm, config["norm_num_groups"]), dtype=dtype)
    products = {True: partial(Dense, use_bias=True, dtype=dtype), False: lambda features: unchanged}
    module = KlPicture(
        encoder=Encoder(depth=depth, out=2 * channels, attended=attended(config["down_block_types"], DOWN), **shared),
        decoder=Decoder(
            depth=depth + 1,
            out=config["out_channels"],
            attended=attended(config["up_block_types"][::-1], UP),
            **shared,
        ),
        to_moments=products[config["use_quant_conv"]](2 * channels),
        from_latents=products[config["use_post_quant_conv"]](channels),
        scale=read_scale(config),
    )
    return picture_codec(module, config, (*PRODUCTS, *rules(config)), stem="diffusion_pytorch_model", former=FORMER)


def read_scale(config: Config) -> Scale:
    """What the pipelines do to latents; null changes nothing."""
    mean, std = config["latents_mean"], config["latents_std"]
    if mean is None or std is None:
        return Scale(config["shift_factor"] or 0.0, 1 / config["scaling_factor"])
    return Scale(tuple(mean), tuple(each / config["scaling_factor"] for each in std))
