"""DINOv2: a vision transformer with layer scale, and with registers (arXiv:2304.07193; arXiv:2309.16588)."""

from collections.abc import Callable, Sequence
from functools import partial

import flax.linen as nn
import jax

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, heads, norm, out
from unified_jax.interop.rules import Rule
from unified_jax.models.encoders import transformer
from unified_jax.models.published import Component, Config, Published, with_defaults
from unified_jax.nn.encoder import Encoder
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.norm import LayerScale
from unified_jax.nn.pool import Read
from unified_jax.nn.resample import Weights, cubic, smooth_cubic


def dinov2(config: Config, *, dtype: DTypeLike) -> Component:
    """``Dinov2Model``."""
    config = with_defaults(config, DEFAULTS | {"patch_size": 14, "use_mask_token": True})
    return _component(config, weights=cubic, mask_tokens=int(config["use_mask_token"]), dtype=dtype)


def dinov2_with_registers(config: Config, *, dtype: DTypeLike) -> Component:
    """``Dinov2WithRegistersModel``, whose table of places is resized smoothly."""
    config = with_defaults(config, DEFAULTS | {"patch_size": 16, "num_register_tokens": 4})
    registers = config["num_register_tokens"]
    return _component(config, weights=smooth_cubic, mask_tokens=1, registers=registers, dtype=dtype)


def _component(
    config: Config, *, weights: Weights, mask_tokens: int, registers: int = 0, dtype: DTypeLike
) -> Component:
    layer_norm = transformer.layer_norm(config)
    embed = transformer.picture_embed(
        config, weights=weights, registers=registers, mask_tokens=mask_tokens, dtype=dtype
    )
    scale = partial(LayerScale, config["layerscale_value"])
    mlp, names = (_gated if config["use_swiglu_ffn"] else _plain)(config, dtype=dtype)
    stack = transformer.stack(config, qkv_bias=config["qkv_bias"], post_norm=scale, mlp=mlp, dtype=dtype)
    encoder = Encoder(embed, stack, norm=layer_norm(), pool=Read())
    prefix = f"{config['model_type']}."  # in files of a classifier, whose head is left aside
    published = Published(config, (*RULES, *names), skip=r"classifier\.(weight|bias)", prefix=prefix)
    return Component(encoder, (transformer.pixels(config),), published)


def _plain(config: Config, *, dtype: DTypeLike) -> tuple[Callable[..., nn.Module], Sequence[Rule]]:
    return transformer.mlp(config, _hidden(config), dtype=dtype), PLAIN_MLP


def _gated(config: Config, *, dtype: DTypeLike) -> tuple[Callable[..., nn.Module], Sequence[Rule]]:
    """Two thirds of the plain width, so that three matrices are as large as two, in multiples of 8."""
    hidden = (_hidden(config) * 2 // 3 + 7) // 8 * 8
    return partial(GatedMlp, hidden, jax.nn.silu, use_bias=True, dtype=dtype), GATED_MLP


def _hidden(config: Config) -> int:
    return int(config["hidden_size"] * config["mlp_ratio"])


DEFAULTS = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "mlp_ratio": 4,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "image_size": 224,
    "qkv_bias": True,
    "layerscale_value": 1.0,
    "use_swiglu_ffn": False,
}
LAYER, STACK = r"encoder.layer.(\d+)", transformer.STACK
GATED = [f"{STACK}/mlp_main/{name}" for name in ("gate", "up")]
RULES = (
    Rule("embeddings.cls_token", "embed/class_token", "1 1 d -> 1 d"),
    Rule("embeddings.mask_token", "embed/mask_token"),
    Rule("embeddings.register_tokens", "embed/registers", "1 n d -> n d"),
    *transformer.patches("embeddings.patch_embeddings.projection"),
    transformer.places("embeddings.position_embeddings", leading="1"),
    *(
        rule
        for name in ("query", "key", "value")
        for rule in heads(f"{LAYER}.attention.attention.{name}", f"{STACK}/{name[0]}_main")
    ),
    *out(f"{LAYER}.attention.output.dense", f"{STACK}/o_main"),
    *norm(f"{LAYER}.norm1", f"{STACK}/attn_norm_main"),
    *norm(f"{LAYER}.norm2", f"{STACK}/mlp_norm_main"),
    Rule(f"{LAYER}.layer_scale1.lambda1", f"{STACK}/attn_post_norm_main/scale"),
    Rule(f"{LAYER}.layer_scale2.lambda1", f"{STACK}/mlp_post_norm_main/scale"),
    *norm("layernorm", "norm"),
)
PLAIN_MLP = (
    *dense(f"{LAYER}.mlp.fc1", f"{STACK}/mlp_main/up"),
    *dense(f"{LAYER}.mlp.fc2", f"{STACK}/mlp_main/down"),
)
GATED_MLP = (
    Rule(f"{LAYER}.mlp.weights_in.weight", tuple(f"{x}/kernel" for x in GATED), "(two f) d -> two d f"),
    Rule(f"{LAYER}.mlp.weights_in.bias", tuple(f"{x}/bias" for x in GATED), "(two f) -> two f"),
    *dense(f"{LAYER}.mlp.weights_out", f"{STACK}/mlp_main/down"),
)
