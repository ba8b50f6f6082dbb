"""MAR's autoencoder, KL-16 (arXiv:2406.11838, section 4.1; ``models/vae.py`` of github.com/LTH14/mar).

``AutoencoderKL`` in the names of VQGAN, with attention in the encoder at 16 x 16 alone, one file ``kl16.ckpt``.
"""

from unified_jax.core.types import DTypeLike
from unified_jax.models.codecs.kl import PRODUCTS, autoencoder_kl
from unified_jax.models.codecs.ladder import Names, decoder_rules, encoder_rules
from unified_jax.models.codecs.picture import picture_codec
from unified_jax.models.published import Component, Config, with_defaults

# What the repository has in code; ``vae_scale`` is in its training loop, and in the config of Skywork UniPic.
DEFAULTS = {
    "ch": 128,
    "ch_mult": (1, 1, 2, 2, 4),
    "num_res_blocks": 2,
    "embed_dim": 16,
    "resolution": 256,
    "attn_resolutions": (16,),
    "norm_num_groups": 32,
    "vae_scale": 0.2325,
}


def mar_vae(config: Config, *, dtype: DTypeLike) -> Component:
    """config: fields that differ from the repository's own."""
    config = with_defaults(config, DEFAULTS)
    levels, depth = len(config["ch_mult"]), config["num_res_blocks"]
    attended = [config["resolution"] >> level in config["attn_resolutions"] for level in range(levels)]
    fields = {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "in_channels": 3,
        "out_channels": 3,
        "block_out_channels": [config["ch"] * factor for factor in config["ch_mult"]],
        "down_block_types": ["AttnDownEncoderBlock2D" if each else "DownEncoderBlock2D" for each in attended],
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": depth,
        "latent_channels": config["embed_dim"],
        "norm_num_groups": config["norm_num_groups"],
        "scaling_factor": config["vae_scale"],
    }
    rules = (
        *PRODUCTS,
        *encoder_rules(Names(), levels=levels, depth=depth),
        *decoder_rules(Names(), levels=levels, depth=depth + 1),
    )
    module = autoencoder_kl(Config(fields), dtype=dtype).module
    return picture_codec(module, config, rules, stem="kl16", skip=r"loss\..*", former=FORMER)


FORMER = {r"^model\.": ""}  # what training put around the state dict
