"""The image tokenizer: pictures to codes and back, of any quantiser (``codecs/vq.py``)."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.codecs.quantisers.base import Quantised
from unified_jax.codecs.vq import VectorQuantised
from unified_jax.core.types import Array
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.autoencoder import Autoencoder, autoencoder


def vq(
    tokenizer: Tokenizer, *, codec: Mapping[str, Any] | None = None, image_size: tuple[int, int] = (32, 32)
) -> Autoencoder:
    """codec: fields of VectorQuantised. The text of documents is ignored. Raises ValueError when ``image_size`` does
    not divide into whole codes.
    """
    arguments = {"codec": dict(codec or {}), "image_size": image_size}
    module = VectorQuantised(**arguments["codec"])
    report = partial(count_codes, size=module.codes, depth=math.prod(module.shape))
    return autoencoder("vq", module, tokenizer=tokenizer, arguments=arguments, image_size=image_size, report=report)


def count_codes(quantised: Quantised, *, size: int, depth: int) -> dict[str, Array]:
    """{"codes": float32 [depth size]}, how often each code was chosen, by each of the quantisers of a place."""
    count = jax.vmap(lambda codes: jnp.bincount(codes, length=size), 1)
    return {"codes": count(quantised.codes.reshape(-1, depth)).astype(jnp.float32)}
