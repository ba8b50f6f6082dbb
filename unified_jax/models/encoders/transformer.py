"""What published encoders share: their stack of layers, and the names under which its parameters are published."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, heads, norm, out
from unified_jax.interop.rules import Rule
from unified_jax.models.published import Config
from unified_jax.nn.block import Block
from unified_jax.nn.mlp import Mlp, find_activation
from unified_jax.nn.norm import LayerNorm
from unified_jax.nn.picture_embed import PictureEmbed
from unified_jax.nn.resample import Weights
from unified_jax.nn.rope import NoRope
from unified_jax.nn.stack import Stack


def stack(config: Config, *, dtype: DTypeLike, **fields: Any) -> Stack:
    """Pre-norm layers with biases everywhere, of a config in the common field names; no norm after the last.

    fields: of the block, in place of those given here.
    """
    num_heads = config["num_attention_heads"]
    body = {
        "num_heads": num_heads,
        "head_dim": config["hidden_size"] // num_heads,
        "pre_norm": layer_norm(config),
        "qkv_bias": True,
        "out_bias": True,
        "route": {"main": "main"},
        "dtype": dtype,
    }
    body = body | fields
    if "mlp" not in body:
        body["mlp"] = mlp(config, config["intermediate_size"], dtype=dtype)
    return Stack(partial(Block, **body), config["num_hidden_layers"], NoRope(body["head_dim"]), norm=None)


def picture_embed(config: Config, *, weights: Weights, dtype: DTypeLike, **fields: Any) -> PictureEmbed:
    """Patches behind a class token, with a square table of places. weights, fields: of ``PictureEmbed``."""
    patch, places = side(config, "patch_size"), table_side(config)
    return PictureEmbed(
        config["hidden_size"],
        patch=patch,
        grid=(places, places),
        weights=weights,
        class_tokens=1,
        dtype=dtype,
        **fields,
    )


def layer_norm(config: Config) -> Callable[..., nn.Module]:
    """The norm of a config, as a partial."""
    return partial(LayerNorm, config["layer_norm_eps"])


def mlp(config: Config, hidden: int, *, dtype: DTypeLike) -> Callable[..., nn.Module]:
    """The feed-forward piece of width ``hidden``, as a partial."""
    return partial(Mlp, hidden, find_activation(config["hidden_act"]), dtype=dtype)


def table_side(config: Config) -> int:
    """Rows, and columns, of the table of places."""
    return side(config, "image_size") // side(config, "patch_size")


def side(config: Config, key: str) -> int:
    """Both sides of a picture or of a patch. Raises ValueError for one that is not square."""
    value = config[key]
    pair = tuple(value) if isinstance(value, list | tuple) else (value, value)
    if len(set(pair)) > 1:
        raise ValueError(f"{key} {list(pair)}: only square ones are known here")
    return pair[0]


def pixels(config: Config) -> jax.ShapeDtypeStruct:
    """A picture of the size the encoder was trained at."""
    height = table_side(config) * side(config, "patch_size")
    return jax.ShapeDtypeStruct((1, height, height, 3), jnp.float32)


POSITION_IDS = r"embeddings\.position_ids"  # 0, 1, 2, ..., which early files stored
LAYER = r"encoder.layers.(\d+)"
STACK = "stack/layer"

# Names that CLIP gave its layers and others kept.
ATTENTION = (
    *(rule for x in "qkv" for rule in heads(f"{LAYER}.self_attn.{x}_proj", f"{STACK}/{x}_main")),
    *out(f"{LAYER}.self_attn.out_proj", f"{STACK}/o_main"),
)
NORMS_AND_MLP = (
    *norm(f"{LAYER}.layer_norm1", f"{STACK}/attn_norm_main"),
    *norm(f"{LAYER}.layer_norm2", f"{STACK}/mlp_norm_main"),
    *dense(f"{LAYER}.mlp.fc1", f"{STACK}/mlp_main/up"),
    *dense(f"{LAYER}.mlp.fc2", f"{STACK}/mlp_main/down"),
)
LAYERS = (*ATTENTION, *NORMS_AND_MLP)


def patches(name: str) -> tuple[Rule, Rule]:
    """Of the convolution that embeds patches."""
    kernel = Rule(f"{name}.weight", "embed/patch/kernel", "d c p q -> p q c d")
    return kernel, Rule(f"{name}.bias", "embed/patch/bias")


def places(name: str, *, leading: str = "") -> Rule:
    """Of a table of places that begins with the class token's. leading: "1" for a published axis of one before it."""
    return Rule(name, ("embed/class_place", "embed/place"), f"{leading} [r c] d -> r c d".strip())
