"""FLUX's autoencoder as its own repository writes it (github.com/black-forest-labs/flux, ``modules/autoencoder.py``):
``AutoencoderKL`` without products between the ladders, in the names of VQGAN, one file ``ae.safetensors``.
"""

from unified_jax.core.types import DTypeLike
from unified_jax.models.codecs.kl import autoencoder_kl
from unified_jax.models.codecs.ladder import Names, decoder_rules, encoder_rules
from unified_jax.models.codecs.picture import picture_codec
from unified_jax.models.published import Component, Config, with_defaults

# What the repository has in code.
DEFAULTS = {
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": (1, 2, 4, 4),
    "num_res_blocks": 2,
    "z_channels": 16,
    "scale_factor": 0.3611,
    "shift_factor": 0.1159,
    "norm_num_groups": 32,
}


def flux_autoencoder(config: Config, *, dtype: DTypeLike) -> Component:
    """config: fields that differ from the repository's own."""
    config = with_defaults(config, DEFAULTS)
    levels, depth = len(config["ch_mult"]), config["num_res_blocks"]
    fields = {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "in_channels": config["in_channels"],
        "out_channels": config["out_ch"],
        "block_out_channels": [config["ch"] * factor for factor in config["ch_mult"]],
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": depth,
        "latent_channels": config["z_channels"],
        "norm_num_groups": config["norm_num_groups"],
        "scaling_factor": config["scale_factor"],
        "shift_factor": config["shift_factor"],
        "use_quant_conv": False,
        "use_post_quant_conv": False,
    }
    module = autoencoder_kl(Config(fields), dtype=dtype).module
    rules = (
        *encoder_rules(Names(), levels=levels, depth=depth),
        *decoder_rules(Names(), levels=levels, depth=depth + 1),
    )
    return picture_codec(module, config, rules, stem="ae")
