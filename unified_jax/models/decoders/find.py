"""Finding the decoder of a config: a language model's own, or the text side of a larger system's."""

import dataclasses
from typing import Any

from unified_jax.core.types import DTypeLike
from unified_jax.models import lm
from unified_jax.models.decoders import emu3, llama, opt, qwen
from unified_jax.models.decoders.causal_lm import Decoder
from unified_jax.models.published import Config, with_defaults
from unified_jax.models.tables import DECODERS, find

# The text sides of systems are published as differences from these.
DEFAULTS = {
    "emu3_text_model": emu3.DEFAULTS,
    "llama": llama.DEFAULTS,
    "opt": opt.DEFAULTS,
    "qwen2": qwen.DEFAULTS,
    "qwen2_5_vl_text": qwen.VL_DEFAULTS,
}


def text_config(config: Config) -> Config:
    """The config of a system's text side, with the reference's own defaults where it is silent."""
    text = Config(config["text_config"])
    return with_defaults(text, DEFAULTS.get(text["model_type"], {}))


def find_decoder(config: Config, *, dtype: DTypeLike, length: int | None = None, **computation: Any) -> Decoder:
    """length: of the longest sequence, for the config's rotary positions (``read_rope``). computation: choices of
    ``lm.computed``. Raises ValueError for a model_type or a value that is not known.
    """
    config = Config({**config, "length": length})
    decoder = find(DECODERS, config["model_type"])(config, dtype=dtype)
    return dataclasses.replace(decoder, stack=lm.computed(decoder.stack, **computation))
