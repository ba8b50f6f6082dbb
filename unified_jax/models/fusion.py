"""Transfusion and LlamaFusion at their papers' sizes: words in turn and a diffusion of latents in one sequence.

    transfusion    one set of weights for words and patches, from scratch (arXiv:2408.11039, section 3)
    llamafusion    a language model that stays as it is, and a copy of it for patches (arXiv:2412.15188, section 3)

    loss = cross-entropy of words + 5 * |noise - predicted noise|^2          (eq. 4 and eq. 3 of Transfusion)

Patches are read and written by one affine map, or by the halves of a U-Net (``nn/unet.py``); ``fusion_script.py`` is
how both write. Published settings: steps 250, guidance_scale 3 (section 4.1). There is no code of either, no weights. A
folder holds config.json and the tokenizer's files; its tensors are named as Llama's, ``_image`` behind the copy's.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn

from unified_jax.codecs.base import Codec
from unified_jax.codecs.grouped import Grouped
from unified_jax.codecs.network import LatentCodec
from unified_jax.codecs.patch import Patches
from unified_jax.core.noise import Path, Rectified, VariancePreserving
from unified_jax.core.noise.betas import squared_cosine
from unified_jax.core.types import DTypeLike
from unified_jax.data.pack import Layout, Stream
from unified_jax.interop.pairs import under
from unified_jax.interop.rules import Rule
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.find import find_decoder, text_config
from unified_jax.models.family import Family, without_text
from unified_jax.models.fusion_rules import linear_rules, unet_rules
from unified_jax.models.fusion_script import Script
from unified_jax.models.mixture import MAIN, PICTURE, ROUTE, second
from unified_jax.models.model import Model
from unified_jax.models.pictured import on_grid
from unified_jax.models.published import Beside, Component, Config, Published, with_defaults
from unified_jax.models.tables import COMPONENTS, find, kind_of
from unified_jax.models.transfusion import PATH
from unified_jax.nn.embed import Timed
from unified_jax.nn.head import Linear
from unified_jax.nn.unet import Down, UnetEmbed, UnetHead, Up
from unified_jax.sampling.fill import Autoregress, Integrate
from unified_jax.sampling.solvers.ancestral import Ddpm
from unified_jax.sampling.solvers.clipped import Clipped
from unified_jax.sampling.solvers.euler import Euler
from unified_jax.sampling.solvers.solve import Solver

MOST = 4.0  # magnitude of the data, whose deviation is about 1
DEFAULTS = {"vae_config": None, "unet_config": None, "schedule": "squaredcos_cap_v2"}


class Schedule(NamedTuple):
    """What a picture is drawn along."""

    path: Path
    solver: Solver


# By the name of diffusers where it has one: the papers' cosine, and a flow, which Transfusion leaves to later work.
SCHEDULES: Mapping[str, Schedule] = {
    "squaredcos_cap_v2": Schedule(VariancePreserving(betas=squared_cosine()), Clipped(Ddpm(), MOST)),
    "flow": Schedule(Rectified(), Euler()),
    "flow_clean": Schedule(PATH, Euler()),  # the network says the picture itself, of which few steps learn more
}


def transfusion(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """config: text_config of any decoder; vae_config of a codec, null for pixels; patch_size, latents along a side of a
    patch; image_size, pixels along one of a picture; boi_token_id, eoi_token_id; schedule, of ``SCHEDULES``;
    unet_config with block_out_channels and layers_per_block, null for affine maps.

    computation: choices of ``lm.computed``. Raises ValueError for a schedule that is not known, and for a U-Net of
    other windows than patches.
    """
    return _fusion(config, beside, lane=MAIN, dtype=dtype, **computation)


def llamafusion(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """As ``transfusion``; begin with ``mixture.grown`` of the language model, and freeze ``mixture.TEXT_SIDE``."""
    return _fusion(config, beside, lane=PICTURE, dtype=dtype, **computation)


def _fusion(config: Config, beside: Beside, *, lane: str, dtype: DTypeLike, **computation: Any) -> Model:
    """lane: of pictures, and the name of their weights."""
    config, text = with_defaults(config, DEFAULTS), text_config(config)
    decoder = find_decoder(text, dtype=dtype, **computation)
    route = {name: ROUTE[name] for name in (MAIN, lane)}
    routed = decoder.stack.clone(block=partial(decoder.stack.block, route=route))
    tied = text.get("tie_word_embeddings", False)
    words = text_side(dataclasses.replace(decoder, stack=routed), text, tied=tied, dtype=dtype)
    vae = _vae(config, dtype)
    codec = Patches(config["patch_size"]) if vae is None else Grouped(LatentCodec(vae.module), config["patch_size"])
    width = text["hidden_size"]
    embed, head = _between(config, codec, width, dtype)
    family = _family(config, beside, words=words, vae=vae, codec=codec, lane=lane)
    return Model(
        lane={name: stream.lane for name, stream in family.streams.items()},
        width=dict.fromkeys(route, width),
        embed={"text": words.tokens, "image": embed, "shown": embed},
        backbone=words.stack,
        heads={"text": words.head, "image": head, "shown": head},
        dtype=dtype,
        family=family,
    )


def _vae(config: Config, dtype: DTypeLike) -> Component | None:
    if config["vae_config"] is None:
        return None
    fields = Config(config["vae_config"])
    return find(COMPONENTS, kind_of(fields))(fields, dtype=dtype)


def _between(config: Config, codec: Codec, width: int, dtype: DTypeLike) -> tuple[nn.Module, nn.Module]:
    """What stands between patches and states: the embedder and the head."""
    if config["unet_config"] is None:
        return Timed(width, dtype=dtype), Linear(codec.shape[0], zero=True)
    widths, depth = tuple(config["unet_config"]["block_out_channels"]), config["unet_config"]["layers_per_block"]
    down = Down(widths, depth, codec.grid(*_size(config)), dtype=dtype)
    if down.window != config["patch_size"]:
        raise ValueError(f"a U-Net of {len(widths)} levels has patches of {down.window}, not {config['patch_size']}")
    up = Up(widths, depth, codec.shape[0] // down.window**2, dtype=dtype)
    return UnetEmbed(down, width, dtype=dtype), UnetHead(down, up, dtype=dtype)


def _size(config: Config) -> tuple[int, int]:
    return config["image_size"], config["image_size"]


def _family(
    config: Config, beside: Beside, *, words: TextSide, vae: Component | None, codec: Codec, lane: str
) -> Family:
    if config["schedule"] not in SCHEDULES:
        raise ValueError(f"schedule {config['schedule']!r}; known are {', '.join(SCHEDULES)}")
    script = Script(beside.tokenizer, codec, _size(config), (config["boi_token_id"], config["eoi_token_id"]))
    pictures = ("image", "shown")
    streams = {"text": Stream(MAIN)} | dict.fromkeys(pictures, Stream(lane, codec.shape, codec.dtype))
    room = {"text": 1} | dict.fromkeys(pictures, script.grid[0] * script.grid[1])
    of = lambda name: sum(room[stream] for stream in streams if streams[stream].lane == name)
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=beside.tokenizer,
        codec=codec,
        streams=streams,
        smallest=Layout({name: of(name) for name in (MAIN, lane)}, room),
        image_size=_size(config),
        write=script.write,
        null=without_text,
        fills={
            "text": Autoregress(
                "text",
                allowed=(0, words.tokens.vocab),
                stop=beside.tokenizer.stop,
                opens=script.delimiters[:1],
            ),
            "image": Integrate("image", *SCHEDULES[config["schedule"]]),
        },
        values_of=partial(on_grid, grid=script.grid),
        published=Published(dict(config), tuple(_rules(config, words, vae)), words.skip, files=beside.files),
    )


def _rules(config: Config, words: TextSide, vae: Component | None) -> Iterator[Rule]:
    yield from words.rules
    if set(words.stack.block.keywords["route"]) == {MAIN, PICTURE}:
        yield from second(words.rules, "image")
    yield from linear_rules() if config["unet_config"] is None else unet_rules(config["unet_config"])
    if vae is not None:
        yield from under("vae.", vae.published.rules, path="codec/")
