"""What published denoisers share: pieces from the common field names, and the names of their parameters."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, heads, norm, out
from unified_jax.interop.rules import Copy, Rule
from unified_jax.models.published import Component, Config, Published
from unified_jax.nn.block import Block
from unified_jax.nn.condition import Told
from unified_jax.nn.mlp import Mlp, find_activation

ACTIVATIONS = {"gelu": "gelu", "gelu-approximate": "gelu_pytorch_tanh"}  # theirs, and what the others call it
TEXT = 8  # slots of text in the shapes by which parameters are made


def width(config: Config) -> int:
    """Of the states: as wide as all heads together."""
    return config["num_attention_heads"] * config["attention_head_dim"]


def base(config: Config) -> int:
    """Rows, and columns, of patches at the size the denoiser was trained at."""
    return config["sample_size"] // config["patch_size"]


def require(config: Config, **known: Any) -> None:
    """Raises ValueError where a field of the config is not the one that is known here."""
    for field, value in known.items():
        if config[field] != value:
            raise ValueError(f"{field} {config[field]!r}: only {value!r} is known here")


def mlp(hidden: int, activation: str, *, dtype: DTypeLike) -> Callable[..., nn.Module]:
    """Raises ValueError for an activation that is not known."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation_fn {activation!r}; known are {', '.join(ACTIVATIONS)}")
    return partial(Mlp, hidden, find_activation(ACTIVATIONS[activation]), dtype=dtype)


def block(config: Config, *, dtype: DTypeLike, **fields: Any) -> Callable[..., Block]:
    """Layers over the one lane ``image`` with biases; fields: of the block, in place of those given here."""
    body = {
        "num_heads": config["num_attention_heads"],
        "head_dim": config["attention_head_dim"],
        "mlp": mlp(4 * width(config), config.get("activation_fn", "gelu-approximate"), dtype=dtype),
        "route": {"image": "image"},
        "qkv_bias": True,
        "out_bias": True,
        "dtype": dtype,
    }
    return partial(Block, **body | fields)


def component(
    module: nn.Module, config: Config, rules: Iterable[Rule | Copy], *, channels: int, **told: jax.ShapeDtypeStruct
) -> Component:
    """channels: of the latents. told: what the denoiser reads beside the time, as shapes."""
    patch = module.embed.patch
    latents = floats(1, 2 * patch, 2 * patch, channels)
    published = Published(config, tuple(rules), stem="diffusion_pytorch_model")
    return Component(module, (latents, Told(floats(1), **told)), published)


def floats(*shape: int) -> jax.ShapeDtypeStruct:
    """The shape of a float32 array."""
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def ints(*shape: int) -> jax.ShapeDtypeStruct:
    """The shape of an int32 array."""
    return jax.ShapeDtypeStruct(shape, jnp.int32)


BLOCK = r"transformer_blocks.(\d+)"
STACK = "backbone/layer"


def attention(name: str, path: str, expert: str = "image", *, mark: str = "") -> tuple[Rule, ...]:
    """Of a block's attention; mark: as ``Block._attend`` has it."""
    projections = (rule for x in "qkv" for rule in heads(f"{name}.to_{x}", f"{path}/{x}{mark}_{expert}"))
    return (
        *projections,
        *out(f"{name}.to_out.0", f"{path}/o{mark}_{expert}"),
        *(rule for x in "qk" for rule in norm(f"{name}.norm_{x}", f"{path}/{x}_norm{mark}_{expert}")),
    )


def cross(name: str, path: str) -> tuple[Rule, ...]:
    """Of ``CrossAttention``."""
    projections = (rule for x in "qkv" for rule in heads(f"{name}.to_{x}", f"{path}/{x}"))
    return (*projections, *out(f"{name}.to_out.0", f"{path}/o"))


def added(name: str, path: str, expert: str = "text") -> tuple[Rule, ...]:
    """Of what the same attention has for a second lane."""
    projections = (rule for x in "qkv" for rule in heads(f"{name}.add_{x}_proj", f"{path}/{x}_{expert}"))
    return (
        *projections,
        *out(f"{name}.to_add_out", f"{path}/o_{expert}"),
        *(rule for x in "qk" for rule in norm(f"{name}.norm_added_{x}", f"{path}/{x}_norm_{expert}")),
    )


def feed(name: str, path: str) -> tuple[Rule, ...]:
    """Of the feed-forward piece."""
    return (*dense(f"{name}.net.0.proj", f"{path}/up"), *dense(f"{name}.net.2", f"{path}/down"))


def two_maps(name: str, path: str) -> tuple[Rule, ...]:
    """Of two affine maps with an activation between."""
    return (*dense(f"{name}.linear_1", f"{path}/up"), *dense(f"{name}.linear_2", f"{path}/down"))


def modulation(name: str, *paths: str) -> tuple[Rule, Rule]:
    """Of one linear layer that makes scale, shift and gate for several norms, one after another."""
    count = {1: "", 2: "two ", 3: "three "}[len(paths)]
    ours = lambda leaf: tuple(f"{path}/modulation/{leaf}" for path in paths)
    left = f"({count}p d)"
    return (
        Rule(f"{name}.weight", ours("kernel"), f"{left} e -> {count}e p d"),
        Rule(f"{name}.bias", ours("bias"), f"{left} -> {count}p d"),
    )


def patches_in(name: str = "pos_embed.proj") -> tuple[Rule, Rule]:
    """Of the convolution that embeds patches."""
    return Rule(f"{name}.weight", "embed/in/kernel", "d c p q -> p q c d"), Rule(f"{name}.bias", "embed/in/bias")


def patches_out(name: str, order: str = "p q c") -> tuple[Rule, Rule]:
    """Of the last map; order: of the numbers inside a patch as published."""
    return (
        Rule(f"{name}.weight", "out/kernel", f"({order}) d -> d p q c"),
        Rule(f"{name}.bias", "out/bias", f"({order}) -> p q c"),
    )
