"""The KL autoencoder: pictures to normally distributed latents and back (``codecs/gaussian.py``)."""

from collections.abc import Mapping
from typing import Any

from unified_jax.codecs.gaussian import Gaussian
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.autoencoder import Autoencoder, autoencoder


def gaussian(
    tokenizer: Tokenizer, *, codec: Mapping[str, Any] | None = None, image_size: tuple[int, int] = (32, 32)
) -> Autoencoder:
    """codec: fields of Gaussian. The text of documents is ignored. Raises ValueError when ``image_size`` does not
    divide into whole places.
    """
    arguments = {"codec": dict(codec or {}), "image_size": image_size}
    module = Gaussian(**arguments["codec"])
    report = lambda drawn: {"rate": drawn.rate.mean()}
    return autoencoder(
        "gaussian", module, tokenizer=tokenizer, arguments=arguments, image_size=image_size, report=report
    )
