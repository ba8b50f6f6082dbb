"""The ladder as transformers publishes it, in the VQGANs of Chameleon, Janus and Emu3: its fields."""

from typing import Any

from unified_jax.codecs.ladder import Encoder
from unified_jax.core.types import DTypeLike
from unified_jax.models.published import Config

PREFIX = "vqmodel."  # in the files of whole models


def encoder(config: Config, *, dtype: DTypeLike, **fields: Any) -> Encoder:
    """The encoder of a config in transformers' field names.

    Raises ValueError for ``double_latent``, of which the reference's own next layer reads but half.
    """
    if config.get("double_latent"):
        raise ValueError("double_latent true: no codec with means and variances is known here")
    return Encoder(widths(config), config["num_res_blocks"], config["latent_channels"], dtype=dtype, **fields)


def widths(config: Config) -> tuple[int, ...]:
    """The width of every level."""
    return tuple(config["base_channels"] * multiplier for multiplier in config["channel_multiplier"])
