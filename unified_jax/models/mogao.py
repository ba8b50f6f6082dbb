"""Mogao: BAGEL's way with experts by modality (arXiv:2505.05472).

    words       Qwen2.5 as it is                                                   lane main
    pictures    patches of an encoder and latents, by weights of their own         lane picture
                norms told the time:  y = norm(x) (1 + scale(t)) + shift(t)        t = 0 of what is clean
    positions   word i at (i, i, i), place (r, c) of a picture at (i, i + r, i + c), by one series of frequencies that
                is dealt to the three axes in turn, so that each has fast and slow pairs (IL-RoPE)
    guidance    neither + s_i (pictures - neither) + s_t (both - pictures)         of the velocity

Scale and shift begin at 0: with weights copied from the words' (``mixture.grown``) it begins as Qwen2.5 over all slots.
``mogao_script.py`` is how it writes. There is no code and no weights: encoder, codec, folder
and all that is not said here are BAGEL's.
"""

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any

from unified_jax.core.noise import Rectified
from unified_jax.core.types import DTypeLike
from unified_jax.data.pack import Layout
from unified_jax.interop.pairs import dense, norm
from unified_jax.interop.rules import Rule
from unified_jax.models.bagel import bagel
from unified_jax.models.decoders import llama
from unified_jax.models.family import Family, without_text
from unified_jax.models.mixture import MAIN, PICTURE
from unified_jax.models.model import Model
from unified_jax.models.mogao_script import Script, without_both
from unified_jax.models.published import Beside, Config
from unified_jax.nn.adaptive_norm import AdaNorm
from unified_jax.nn.embed import Flat
from unified_jax.nn.entries import EntryCondition
from unified_jax.nn.grid_rope import GridRope
from unified_jax.nn.rope import interleaved
from unified_jax.nn.stack import Stack
from unified_jax.nn.told import Times
from unified_jax.sampling.fill import Integrate
from unified_jax.sampling.guidance import ClassifierFree

LANES = {"text": MAIN, "vision": PICTURE, "image": PICTURE}


def mogao(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """As ``bagel``."""
    near = bagel(config, beside, dtype=dtype, **computation)
    width = near.width[MAIN]
    told = Times(width)
    return near.clone(
        lane=LANES,
        embed={**near.embed, "image": Flat(width, dtype=dtype)},
        backbone=_stack(near.backbone),
        condition=EntryCondition({"image": told, "vision": told}, LANES, width),
        family=_family(near.family),
    )


def _stack(stack: Stack) -> Stack:
    """Positions of three axes, and norms of pictures that are told the time; Qwen2.5 has none of heads."""
    plain, pairs = stack.block.keywords["pre_norm"], stack.rope.head_dim // 2
    rest = pairs // 3
    rope = dataclasses.replace(stack.rope, sections=(pairs - 2 * rest, rest, rest), arrange=interleaved)
    told = partial(AdaNorm, plain, ("shift", "scale"))
    block = partial(stack.block, pre_norm={MAIN: plain, PICTURE: told}, qk_norm=None)
    return stack.clone(block=block, rope=GridRope(rope))


def _family(near: Family) -> Family:
    script = Script(near.tokenizer, near.codec, near.codec.grid(*near.image_size))
    integrate = Integrate("image", Rectified(), guidance=ClassifierFree())
    published = dataclasses.replace(near.published, rules=(*near.published.rules, *_rules()))
    streams = {name: dataclasses.replace(stream, lane=LANES[name]) for name, stream in near.streams.items()}
    return dataclasses.replace(
        near,
        streams=streams,
        smallest=Layout({MAIN: 1, PICTURE: 2}, dict.fromkeys(streams, 1)),
        write=script.write,
        null=without_text,
        blind=without_both,
        fills={"text": near.fills["text"], "image": integrate, "edit": integrate},
        published=published,
    )


def _rules() -> Iterator[Rule]:
    """Of what BAGEL has not."""
    yield from dense("ema.patch_embedder", "embed_image/patch")
    yield from dense("ema.time_embedder.mlp.0", "condition/pieces_image/time/mlp/up")
    yield from dense("ema.time_embedder.mlp.2", "condition/pieces_image/time/mlp/down")
    for theirs, ours in (("input_layernorm", "attn_norm"), ("post_attention_layernorm", "mlp_norm")):
        name = f"ema.language_model.{llama.LAYER}.{theirs}_moe_gen"
        yield from norm(name, f"backbone/layer/{ours}_{PICTURE}/norm")
        path = f"backbone/layer/{ours}_{PICTURE}/modulation"
        yield Rule(f"{name}.modulation.weight", f"{path}/kernel", "(p d) e -> e p d")
        yield Rule(f"{name}.modulation.bias", f"{path}/bias", "(p d) -> p d")
