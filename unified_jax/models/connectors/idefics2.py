"""Idefics2's connector: a gated projection, then a Perceiver resampler (arXiv:2405.02246, section 3.2)."""

from functools import partial

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense, heads, norm, out
from unified_jax.interop.rules import Rule
from unified_jax.models.connectors.projector import connector
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.connectors.perceiver import Perceiver
from unified_jax.nn.connectors.projection import GatedProjection
from unified_jax.nn.cross_attention import CrossAttention
from unified_jax.nn.mlp import GatedMlp, find_activation
from unified_jax.nn.norm import RMSNorm


def idefics2(config: Config, *, dtype: DTypeLike) -> Component:
    """``Idefics2Connector``."""
    text = with_defaults(Config(config["text_config"]), MISTRAL)
    latents = {"hidden_size": text["hidden_size"], "rms_norm_eps": text["rms_norm_eps"]}
    resampler = with_defaults(Config(config["perceiver_config"]), PERCEIVER | latents)
    width, activation = resampler["hidden_size"], find_activation(resampler["hidden_act"])
    module = Perceiver(
        count=resampler["resampler_n_latents"],
        depth=resampler["resampler_depth"],
        attention=partial(
            CrossAttention,
            resampler["resampler_n_heads"],
            resampler["resampler_head_dim"],
            num_kv_heads=resampler["num_key_value_heads"],
            qkv_bias=False,
            out_bias=False,
            dtype=dtype,
        ),
        mlp=partial(GatedMlp, 4 * width, activation, dtype=dtype),
        norm=partial(RMSNorm, resampler["rms_norm_eps"]),
        before=GatedProjection(width, text["intermediate_size"], find_activation(text["hidden_act"]), dtype=dtype),
        dtype=dtype,
    )
    vision = with_defaults(Config(config["vision_config"]), {"hidden_size": 768})
    return connector(module, config, rules=RULES, width=vision["hidden_size"], roots=("connector.",))


MISTRAL = {"hidden_size": 4096, "intermediate_size": 14336, "hidden_act": "silu", "rms_norm_eps": 1e-5}
PERCEIVER = {
    "hidden_act": "silu",
    "resampler_n_latents": 64,
    "resampler_depth": 3,
    "resampler_n_heads": 16,
    "resampler_head_dim": 96,
    "num_key_value_heads": 4,
}
RESAMPLER, PROJECTION = "connector.perceiver_resampler", "connector.modality_projection"
LAYER = rf"{RESAMPLER}.layers.(\d+)"
RULES = (
    *dense(f"{PROJECTION}.gate_proj", "before/gate"),
    *dense(f"{PROJECTION}.up_proj", "before/up"),
    *dense(f"{PROJECTION}.down_proj", "before/out"),
    Rule(f"{RESAMPLER}.latents", "latents"),
    *norm(f"{LAYER}.input_latents_norm", "layer/attention_norm"),
    *norm(f"{LAYER}.input_context_norm", "layer/context_norm"),
    *norm(f"{LAYER}.post_attention_layernorm", "layer/mlp_norm"),
    *(rule for x in "qkv" for rule in heads(f"{LAYER}.self_attn.{x}_proj", f"layer/attention/{x}")),
    *out(f"{LAYER}.self_attn.o_proj", "layer/attention/o"),
    *(rule for x in ("gate", "up", "down") for rule in dense(f"{LAYER}.mlp.{x}_proj", f"layer/mlp/{x}")),
    *norm(f"{RESAMPLER}.norm", "norm"),
)
