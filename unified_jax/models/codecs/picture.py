"""What published codecs of pictures share as components."""

from collections.abc import Iterable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.interop.rules import Rule
from unified_jax.models.published import Component, Config, Published


def picture_codec(module: nn.Module, config: Config, rules: Iterable[Rule], **layout: Any) -> Component:
    """A codec of pictures of any size that divides into whole entries. layout: further fields of ``Published``.

    Raises ValueError for pictures of other than three channels.
    """
    if (channels := config.get("in_channels", 3)) != 3:
        raise ValueError(f"in_channels {channels}: only pictures of 3 channels are known here")
    pixels = jax.ShapeDtypeStruct((1, module.factor, module.factor, 3), jnp.float32)
    return Component(module, (pixels,), Published(config, tuple(rules), **layout))
