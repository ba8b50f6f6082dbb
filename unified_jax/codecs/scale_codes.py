"""ScaleCodes: a codec whose picture is one list of codes, scale after scale, and no grid of them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from unified_jax.codecs.network import NetworkCodec
from unified_jax.core.types import AnyArray, Float, Int


@dataclasses.dataclass(frozen=True)
class ScaleCodes(NetworkCodec):
    """The codec of a module whose quantiser is ``quantisers.scales``: one column of codes for each picture.

    A list of n codes is a grid of n rows and one column here, which is what everything around a codec expects.
    """
