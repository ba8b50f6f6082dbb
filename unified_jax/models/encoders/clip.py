"""CLIP: a vision transformer with a norm before its layers, and a causal text encoder (arXiv:2103.00020, 2.4)."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from unified_jax.core.types import Array, DTypeLike, Int
from unified_jax.interop.pairs import dense, norm, under
from unified_jax.interop.rules import Rule
from unified_jax.models.encoders import transformer
from unified_jax.models.published import Component, Config, Published, with_defaults
from unified_jax.nn.dense import Dense
from unified_jax.nn.encoder import Encoder
from unified_jax.nn.pool import Read
from unified_jax.nn.resample import cubic
from unified_jax.nn.text_embed import TextEmbed, causal


def clip_vision(config: Config, *, dtype: DTypeLike) -> Component:
    """``CLIPVisionModel``, ``CLIPVisionModelWithProjection``; only what is pooled passes the last norm."""
    config = with_defaults(config, VISION_DEFAULTS)
    published, project = _published(config, VISION_RULES, of="vision_model.", name="visual_projection", dtype=dtype)
    layer_norm = transformer.layer_norm(config)
    embed = transformer.picture_embed(config, weights=cubic, use_bias=False, norm=layer_norm(), dtype=dtype)
    encoder = Encoder(embed, transformer.stack(config, dtype=dtype), norm=None, pool=Read(layer_norm(), project))
    return Component(encoder, (transformer.pixels(config),), published)


def vision_of_clip(config: Config, *, dtype: DTypeLike) -> Component:
    """The vision tower of a ``CLIPModel`` folder, with its projection: what is pooled are ``image_embeds``."""
    tower = {"model_type": "clip_vision_model", **config["vision_config"]}
    return clip_vision(_projected(tower, config, architecture="CLIPVisionModelWithProjection"), dtype=dtype)


def text_of_clip(config: Config, *, dtype: DTypeLike) -> Component:
    """The text encoder of a ``CLIPModel`` folder, with its projection: what is pooled are ``text_embeds``."""
    encoder = {"model_type": "clip_text_model", **config["text_config"]}
    return clip_text(_projected(encoder, config, architecture="CLIPTextModelWithProjection"), dtype=dtype)


def clip_text(config: Config, *, dtype: DTypeLike) -> Component:
    """``CLIPTextModel``, ``CLIPTextModelWithProjection``."""
    config = with_defaults(config, TEXT_DEFAULTS)
    published, project = _published(config, TEXT_RULES, of="text_model.", name="text_projection", dtype=dtype)
    embed = TextEmbed(
        config["vocab_size"],
        config["hidden_size"],
        blocks=causal,
        end=partial(end_of_text, end=config["eos_token_id"]),
        positions=config["max_position_embeddings"],
        dtype=dtype,
    )
    layer_norm = transformer.layer_norm(config)
    encoder = Encoder(embed, transformer.stack(config, dtype=dtype), norm=layer_norm(), pool=Read(project=project))
    ids = jax.ShapeDtypeStruct((1, config["max_position_embeddings"]), jnp.int32)
    return Component(encoder, (ids,), published)


def _published(
    config: Config, rules: Sequence[Rule], *, of: str, name: str, dtype: DTypeLike
) -> tuple[Published, Dense | None]:
    """The layout, and the map of what is pooled to the space of both encoders, where the file has it.

    of, name: what files call this encoder, and that map.
    """
    if not any(kind.endswith("WithProjection") for kind in config.get("architectures") or ()):
        return Published(config, rules, transformer.POSITION_IDS, prefix=of), None
    both = (*under(of, rules), *dense(name, "pool/project"))
    skip = of.replace(".", r"\.") + transformer.POSITION_IDS
    return Published(config, both, skip, roots=(of, f"{name}.")), Dense(config["projection_dim"], dtype=dtype)


def _projected(part: Mapping[str, Any], whole: Config, *, architecture: str) -> Config:
    """One encoder's config in a folder of both, whose projections are as wide as the whole says."""
    return Config({**part, "architectures": [architecture], "projection_dim": whole.get("projection_dim", 512)})


def end_of_text(ids: Int[Array, "B T"], *, end: int) -> Int[Array, "B"]:
    """The slot of the first id ``end``. Early configs say 2, which is not the end: there it is the largest id."""
    return jnp.argmax(ids if end == 2 else ids == end, -1)


VISION_DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "projection_dim": 512,
}
TEXT_DEFAULTS = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "eos_token_id": 49407,
    "projection_dim": 512,
}
VISION_RULES = (
    Rule("embeddings.class_embedding", "embed/class_token", "d -> 1 d"),
    *transformer.patches("embeddings.patch_embedding"),
    transformer.places("embeddings.position_embedding.weight"),
    *norm("pre_layrnorm", "embed/norm"),
    *transformer.LAYERS,
    *norm("post_layernorm", "pool/norm"),
)
TEXT_RULES = (
    Rule("embeddings.token_embedding.weight", "embed/table"),
    Rule("embeddings.position_embedding.weight", "embed/place"),
    *transformer.LAYERS,
    *norm("final_layer_norm", "norm"),
)
