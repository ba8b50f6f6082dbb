"""diffusers' ``AutoencoderRAE``: a frozen vision encoder and a trained decoder (RAE, arXiv:2510.11690)."""

import dataclasses
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from unified_jax.codecs.posterior import Scale
from unified_jax.codecs.representation import MEAN, STD, Representation
from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, heads, norm, out
from unified_jax.interop.rules import Rule
from unified_jax.models.encoders import transformer
from unified_jax.models.encoders.dinov2 import dinov2_with_registers
from unified_jax.models.encoders.siglip import siglip_vision
from unified_jax.models.published import Component, Config, Published, with_defaults
from unified_jax.nn.grid_features import GridFeatures
from unified_jax.nn.norm import LayerNorm
from unified_jax.nn.patch_decoder import PatchDecoder
from unified_jax.nn.resample import cubic

HEAD = 64  # channels of a head of every known encoder
EPSILON = 1e-12  # of the decoder's norms
ENCODERS = {"dinov2": (dinov2_with_registers, {"image_size": 518}), "siglip2": (siglip_vision, {"image_size": 256})}
# As files of transformers 4 name the encoder's parts, and as diffusers writes them with transformers 5.
FORMER = {
    "encoder.vision_model.": "encoder.",
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
}
DEFAULTS = {
    "image_size": None,
    "num_channels": 3,
    "encoder_norm_mean": list(MEAN),
    "encoder_norm_std": list(STD),
    "latents_mean": None,
    "latents_std": None,
    "noise_tau": 0.0,
    "scaling_factor": 1.0,
}


def autoencoder_rae(config: Config, *, dtype: DTypeLike) -> Component:
    """``AutoencoderRAE``. Raises ValueError for an encoder that is not known or sizes that do not fit each other."""
    config = with_defaults(config, DEFAULTS)
    grid = _grid(config)
    encoder = _encoder(config, dtype=dtype)
    shapes = {np.shape(config[name]) for name in ("latents_mean", "latents_std") if config[name] is not None}
    statistics = shapes.pop() if shapes else (1,)
    if shapes:
        raise ValueError("latents_mean and latents_std have different shapes")
    module = Representation(
        encoder=GridFeatures(encoder.module, grid, weights=cubic),
        decoder=_decoder(config, dtype=dtype),
        noise=config["noise_tau"],
        statistics=_ours(statistics),
        scale=Scale(std=1 / config["scaling_factor"]),
    )
    side = grid[0] * config["encoder_patch_size"]
    rules = (*_under("encoder.", "encoder/encoder/", encoder.published.rules), *DECODER, *_statistics(statistics))
    published = Published(
        config, rules, skip=r"decoder\.decoder_pos_embed", stem="diffusion_pytorch_model", former=FORMER
    )
    return Component(module, (jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32),), published)


def _grid(config: Config) -> tuple[int, int]:
    size, patch = config["encoder_input_size"], config["encoder_patch_size"]
    if size % patch:
        raise ValueError(f"encoder_input_size {size} does not divide into patches of {patch}")
    side = size // patch
    if config["image_size"] not in (None, side * config["patch_size"]):
        raise ValueError(f"image_size {config['image_size']}: {side} patches of {config['patch_size']} are decoded")
    return side, side


def _encoder(config: Config, *, dtype: DTypeLike) -> Component:
    """The encoder, whose last norm has neither scale nor bias."""
    kind, width = config["encoder_type"], config["encoder_hidden_size"]
    if kind not in ENCODERS:
        raise ValueError(f"encoder_type {kind!r} is not known; known are {', '.join(ENCODERS)}")
    make, fixed = ENCODERS[kind]
    sizes = {
        "model_type": kind,
        "hidden_size": width,
        "num_hidden_layers": config["encoder_num_hidden_layers"],
        "num_attention_heads": width // HEAD,
        "patch_size": config["encoder_patch_size"],
    }
    component = make(Config(sizes | fixed), dtype=dtype)
    plain = LayerNorm(component.module.norm.epsilon, use_scale=False, use_bias=False)
    rules = tuple(rule for rule in component.published.rules if rule.path not in ("norm/scale", "norm/bias"))
    published = dataclasses.replace(component.published, rules=rules)
    return dataclasses.replace(component, module=component.module.clone(norm=plain), published=published)


def _decoder(config: Config, *, dtype: DTypeLike) -> PatchDecoder:
    width = config["decoder_hidden_size"]
    sizes = {
        "hidden_size": width,
        "num_hidden_layers": config["decoder_num_hidden_layers"],
        "num_attention_heads": config["decoder_num_attention_heads"],
        "intermediate_size": config["decoder_intermediate_size"],
        "hidden_act": "gelu",
        "layer_norm_eps": EPSILON,
    }
    stack = transformer.stack(Config(sizes), dtype=dtype)
    return PatchDecoder(width, 3 * config["patch_size"] ** 2, stack, LayerNorm(EPSILON), dtype)


def _ours(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of statistics, channels last."""
    return (*shape[:-3], *shape[-2:], shape[-3]) if len(shape) >= 3 else shape


def _statistics(shape: tuple[int, ...]) -> tuple[Rule, ...]:
    form = {3: "c h w -> h w c", 4: "1 c h w -> 1 h w c"}.get(len(shape), "... -> ...")
    names = {"_latents_mean": "latent_mean", "_latents_std": "latent_std"}
    pixels = {"encoder_mean": "pixel_mean", "encoder_std": "pixel_std"}
    return (
        *(Rule(published, ours, form) for published, ours in names.items()),
        *(Rule(published, ours, "1 c 1 1 -> c") for published, ours in pixels.items()),
    )


def _under(published: str, ours: str, rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The rules of a network that is a part of a larger one, in both namings, and by today's names."""

    def move(rule: Rule) -> Rule:
        path, pattern = tuple(ours + path for path in rule.paths), published + rule.pattern
        for former, today in FORMER.items():
            pattern = pattern.replace(former, today)
        return dataclasses.replace(rule, pattern=pattern, path=path if len(path) > 1 else path[0])

    return tuple(map(move, rules))


LAYER, STACK = r"decoder.decoder_layers.(\d+)", "decoder/stack/layer"
DECODER = (
    *dense("decoder.decoder_embed", "decoder/embed"),
    Rule("decoder.trainable_cls_token", "decoder/token", "1 1 d -> d"),
    *(rule for x in "qkv" for rule in heads(f"{LAYER}.attention.to_{x}", f"{STACK}/{x}_main")),
    *out(f"{LAYER}.attention.to_out.0", f"{STACK}/o_main"),
    *norm(f"{LAYER}.layernorm_before", f"{STACK}/attn_norm_main"),
    *norm(f"{LAYER}.layernorm_after", f"{STACK}/mlp_norm_main"),
    *dense(f"{LAYER}.intermediate.dense", f"{STACK}/mlp_main/up"),
    *dense(f"{LAYER}.output.dense", f"{STACK}/mlp_main/down"),
    *norm("decoder.decoder_norm", "decoder/norm"),
    *dense("decoder.decoder_pred", "decoder/out"),
)
