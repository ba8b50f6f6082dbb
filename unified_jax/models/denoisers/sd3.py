"""Stable Diffusion 3 and 3.5: text and picture in two streams with one attention, MM-DiT (arXiv:2403.03206, section 4).

It predicts the velocity. Text is the states of CLIP's two encoders beside each other, then those of T5, all of them
seen; ``pooled`` is CLIP's two vectors.
"""

import dataclasses
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from typing import NamedTuple

from unified_jax.core.types import DTypeLike
from unified_jax.interop.pairs import dense
from unified_jax.interop.rules import Rule
from unified_jax.models.denoisers import transformer
from unified_jax.models.denoisers.denoiser import Denoiser, PatchEmbed, TextIn
from unified_jax.models.published import Component, Config, with_defaults
from unified_jax.nn.adaptive_norm import AdaNorm
from unified_jax.nn.condition import PooledEmbed, TimeEmbed
from unified_jax.nn.dense import Dense
from unified_jax.nn.dual_block import DualBlock
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.places import CroppedPlaces
from unified_jax.nn.rope import NoRope
from unified_jax.nn.stack import Stack
from unified_jax.nn.stages import Stages

DEFAULTS = {
    "sample_size": 128,
    "patch_size": 2,
    "in_channels": 16,
    "num_layers": 18,
    "attention_head_dim": 64,
    "num_attention_heads": 18,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1152,
    "pooled_projection_dim": 2048,
    "out_channels": 16,
    "pos_embed_max_size": 96,
    "dual_attention_layers": (),
    "qk_norm": None,
}
QK_NORMS = {None: None, "rms_norm": partial(RMSNorm, 1e-6)}
CLOSING = partial(AdaNorm, parts=("scale", "shift"))  # of states that only others go on to read


def sd3(config: Config, *, dtype: DTypeLike) -> Component:
    """``SD3Transformer2DModel``: reads ``text`` and ``pooled``. Raises ValueError for a qk_norm that is not known."""
    config = with_defaults(config, DEFAULTS)
    width = transformer.width(config)
    transformer.require(config, caption_projection_dim=width)
    if config["qk_norm"] not in QK_NORMS:
        raise ValueError(f"qk_norm {config['qk_norm']!r}; known are null and 'rms_norm'")
    places = CroppedPlaces(config["pos_embed_max_size"], base=transformer.base(config))
    module = Denoiser(
        PatchEmbed(width, config["patch_size"], places, dtype=dtype),
        condition={"pooled": PooledEmbed(width), "time": TimeEmbed(width)},
        text=TextIn(Dense(width, use_bias=True, dtype=dtype)),
        backbone=Stages(tuple(stack(config, run, dtype=dtype) for run in runs(config))),
        norm=CLOSING(),
        channels=config["out_channels"] or config["in_channels"],
    )
    layers = [rule for i, run in enumerate(runs(config)) for rule in layer_rules(f"backbone/stages_{i}/layer", run)]
    return transformer.component(
        module,
        config,
        (*RULES, *layers),
        channels=config["in_channels"],
        text=transformer.floats(1, transformer.TEXT, config["joint_attention_dim"]),
        pooled=transformer.floats(1, config["pooled_projection_dim"]),
    )


class Run(NamedTuple):
    """Consecutive layers of one kind. dual: with a second attention, of the picture's. last: the text ends there."""

    dual: bool
    last: bool
    layers: tuple[int, ...]


def runs(config: Config) -> list[Run]:
    """The layers of a config, in order."""
    last, dual = config["num_layers"] - 1, set(config["dual_attention_layers"])
    kinds = groupby(range(last + 1), lambda i: (i in dual, i == last))
    return [Run(*kind, tuple(layers)) for kind, layers in kinds]


def stack(config: Config, run: Run, *, dtype: DTypeLike) -> Stack:
    """The layers of one run."""
    block = transformer.block(
        config,
        route={"image": "image", "text": "text"},
        qk_norm=QK_NORMS[config["qk_norm"]],
        pre_norm={"image": AdaNorm, "text": CLOSING if run.last else AdaNorm},
        ends=("text",) if run.last else (),
        dtype=dtype,
    )
    if run.dual:
        block = partial(DualBlock, alone=("image",), **block.keywords)
    return Stack(block, len(run.layers), NoRope(config["attention_head_dim"]), norm=None)


def layer_rules(path: str, run: Run) -> Iterator[Rule]:
    """Of the layers of one run, under one path; rules of what they lack do nothing."""
    name = transformer.BLOCK
    image = ("attn", "mlp", "own") if run.dual else ("attn", "mlp")
    text = ("attn",) if run.last else ("attn", "mlp")
    rules = (
        *transformer.modulation(f"{name}.norm1.linear", *(f"{path}/{place}_norm_image" for place in image)),
        *transformer.modulation(f"{name}.norm1_context.linear", *(f"{path}/{place}_norm_text" for place in text)),
        *transformer.attention(f"{name}.attn", path),
        *transformer.added(f"{name}.attn", path),
        *transformer.attention(f"{name}.attn2", path, mark="_own"),
        *transformer.feed(f"{name}.ff", f"{path}/mlp_image"),
        *transformer.feed(f"{name}.ff_context", f"{path}/mlp_text"),
    )
    for rule in rules:
        yield dataclasses.replace(rule, layers=run.layers)


RULES = (
    *transformer.patches_in(),
    Rule("pos_embed.pos_embed", "embed/places/table", "1 (r c) d -> r c d"),
    *transformer.two_maps("time_text_embed.timestep_embedder", "condition_time/mlp"),
    *transformer.two_maps("time_text_embed.text_embedder", "condition_pooled/mlp"),
    *dense("context_embedder", "text/project"),
    *transformer.modulation("norm_out.linear", "norm"),
    *transformer.patches_out("proj_out"),
)
