"""The representation autoencoder: what a frozen encoder sees, and a decoder that is trained to draw it again."""

from collections.abc import Mapping
from typing import Any

from unified_jax.codecs.representation import Representation
from unified_jax.data.tokenizer import Tokenizer
from unified_jax.models.autoencoder import Autoencoder, autoencoder
from unified_jax.models.encoders import transformer
from unified_jax.models.pretrained import build_component
from unified_jax.models.published import Config
from unified_jax.nn.grid_features import GridFeatures
from unified_jax.nn.norm import LayerNorm
from unified_jax.nn.patch_decoder import PatchDecoder

EPSILON = 1e-6


def representation(
    tokenizer: Tokenizer,
    *,
    encoder: Mapping[str, Any],
    width: int = 64,
    depth: int = 2,
    num_heads: int = 4,
    hidden: int = 256,
    patch: int = 4,
    noise: float = 0.0,
    image_size: tuple[int, int] = (32, 32),
) -> Autoencoder:
    """encoder: the ``config.json`` of a CLIP, SigLIP or DINOv2 vision encoder, whose patches are those of the decoder.

    width, depth, num_heads, hidden: of the decoder's stack. patch: pixels of its patches, along a side. noise: as in
    ``Representation``. Raises ValueError where a picture does not divide into patches.
    """
    arguments = {k: v for k, v in locals().items() if k != "tokenizer"} | {"encoder": dict(encoder)}
    grid = (image_size[0] // patch, image_size[1] // patch)
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": num_heads,
        "intermediate_size": hidden,
        "hidden_act": "gelu",
        "layer_norm_eps": EPSILON,
    }
    stack = transformer.stack(Config(sizes), dtype="float32")
    codec = Representation(
        encoder=GridFeatures(build_component(encoder).module, grid),
        decoder=PatchDecoder(width, 3 * patch**2, stack, LayerNorm(EPSILON)),
        noise=noise,
    )
    return autoencoder("representation", codec, tokenizer=tokenizer, arguments=arguments, image_size=image_size)
