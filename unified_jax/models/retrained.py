"""A published codec of other sizes, trained here as an autoencoder; what is saved is a folder like the codec's own."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

from unified_jax.codecs.kl import KlPicture
from unified_jax.codecs.kl_trained import KlTrained
from unified_jax.codecs.kl_video import KlVideo
from unified_jax.data.chat import SPECIAL, ChatTokenizer
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.interop.pairs import under
from unified_jax.models.autoencoder import Autoencoder, autoencoder
from unified_jax.models.pretrained import build_component
from unified_jax.models.tables import kind_of
from unified_jax.models.vq import count_codes


def retrained(
    tokenizer: Tokenizer, config: Mapping[str, Any], *, image_size: tuple[int, int], beta: float = 1e-3
) -> Autoencoder:
    """config: the codec's published config.json. beta: of latents, as in ``KlTrained``. The text of documents is
    ignored.

    Raises ValueError as ``build_component``, and when ``image_size`` does not divide into whole codes.
    """
    component = build_component(config)
    if isinstance(component.module, KlPicture | KlVideo):
        codec, report = KlTrained(component.module, beta), lambda drawn: {"rate": drawn.rate.mean()}
    else:
        codec, report = component.module, partial(count_codes, size=component.module.codes, depth=1)
    model = autoencoder(
        kind_of(component.published.config),
        codec,
        tokenizer=tokenizer,
        arguments={},
        image_size=image_size,
        report=report,
    )
    rules = under("", component.published.rules, path="codec/")
    layout = dataclasses.replace(component.published, rules=rules, stem="model")
    words = ChatTokenizer.of(tokenizer, special=SPECIAL)
    return model.clone(family=dataclasses.replace(model.family, tokenizer=words, published=layout))
