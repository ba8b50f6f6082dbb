"""Skywork UniPic 1.0: a language model between the two ends of a MAR, which reads pictures and draws them in groups of
latents (arXiv:2508.03320; github.com/SkyworkAI/UniPic, ``UniPic-1``).

    encoded  = MAR's encoder of what is shown                    a given picture: of all of it
    language model: words, and after them the encoded entries and the buffer, causal
    drawn    = MAR's decoder of encoded + out(states), and its denoiser of each entry

``unipic_script.py`` is how it writes. Given pictures go the same way as drawn ones: SigLIP2 and its projection are in
the repository, but no script of it reads them. Its edits, which it calls exploratory, are not done here. The published
settings are steps 32, guidance_scale 3 and image_temperature 1, for pictures of 1024 pixels, twice the side of the
tables of places.

The folder (Skywork/Skywork-UniPic-1.5B on the Hub; config.json is of values that the repository has in code):

    config.json          {"model_type": "unipic", "mar": {...}, "llm": {...}, "vae_scale": ...}: the constructors'
                         arguments; "image_size" for pictures of another size, "vae": {...} for another codec
    pytorch_model.bin    kl16.ckpt    tokenizer.json, tokenizer_config.json

``save_pretrained`` writes pytorch_model.safetensors and kl16.safetensors with the same names of tensors.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
from PIL.Image import Resampling

from unified_jax.codecs.network import LatentCodec
from unified_jax.core.types import DTypeLike
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.picture_size import exactly
from unified_jax.data.picture_steps import Affine, PadSquare, Resize
from unified_jax.data.preprocess import Preprocess
from unified_jax.interop.pairs import dense, renamed, under
from unified_jax.interop.rules import Copy, Rule
from unified_jax.models.codecs.mar import mar_vae
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.find import find_decoder, text_config
from unified_jax.models.family import Family, unread
from unified_jax.models.mar_network import NORM, MarNetwork, mar_rules
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published, skip_under
from unified_jax.models.reader import Reader
from unified_jax.models.unipic_script import Script
from unified_jax.nn.masked_bridge import BridgedEmbed, BridgedHead, MaskedEncoder
from unified_jax.nn.mlp import Mlp
from unified_jax.sampling.fill import Autoregress

STEMS = ("pytorch_model", "kl16")
GREY = (127, 127, 127)  # around given pictures that are not square


def unipic(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``, of the language model."""
    text = text_config(Config(text_config=config["llm"]))
    tied = text.get("tie_word_embeddings", False)
    words = text_side(find_decoder(text, dtype=dtype, **computation), text, tied=tied, dtype=dtype)
    net = MarNetwork.of(Config(config["mar"]), side=config.get("image_size"), dtype=dtype)
    fields = {"embed_dim": net.sizes["vae_embed_dim"], "vae_scale": config["vae_scale"], **config.get("vae", {})}
    vae = mar_vae(Config(fields), dtype=dtype)
    width, encoder = text["hidden_size"], MaskedEncoder(net.embed(), net.stack("encoder"), NORM)
    project = partial(Mlp, width, jax.nn.silu, dtype=dtype)
    out, head = project(net.sizes["encoder_embed_dim"]), net.head(net.stack("decoder"))
    return Model(
        lane={"text": "main", "image": "main"},
        width={"main": width},
        embed={"text": words.tokens, "image": BridgedEmbed(encoder, project(width))},
        backbone=words.stack,
        heads={"text": words.head, "image": BridgedHead(encoder, out, head)},
        dtype=dtype,
        family=_family(config, beside, words=words, net=net, vae=vae),
    )


def _family(config: Config, beside: Beside, *, words: TextSide, net: MarNetwork, vae: Component) -> Family:
    codec, tokenizer, size = LatentCodec(vae.module), beside.tokenizer, net.pictures.size
    side = net.pictures.grid[0] * vae.module.factor
    resize = Resize(partial(exactly, size=(side, side)), Resampling.BICUBIC)
    prepare = Preprocess((PadSquare(GREY), resize, Affine(1 / 255, (0.5,) * 3, (0.5,) * 3)))
    end = tokenizer.stop or (tokenizer.special_id("eos_token"),)
    skip = {"pytorch_model.llm.": words.skip, "pytorch_model.": r"siglip2(?:_proj)?\..*", "kl16.": vae.published.skip}
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=tokenizer,
        codec=codec,
        streams={"text": Stream("main"), "image": Stream("main", codec.shape, codec.dtype, told=True)},
        smallest=Layout({"main": 1 + size}, {"text": 1, "image": size}),
        image_size=(side, side),
        write=Script(tokenizer, net).write,
        null=unread,
        fills={"text": Autoregress("text", allowed=(0, words.tokens.vocab), stop=end), "image": net.fill()},
        values_of=net.values_of,
        published=Published(
            dict(config),
            tuple(_rules(words, net, vae)),
            skip_under(skip),
            stems=STEMS,
            former={r"^kl16\.model\.": "kl16."},
            files=beside.files,
        ),
        reader=Reader(prepare, codec),
    )


def _rules(words: TextSide, net: MarNetwork, vae: Component) -> Iterator[Rule | Copy]:
    yield from under("kl16.", vae.published.rules, path="codec/")
    encoder = "embed_image/encoder"
    own = mar_rules(
        embed=f"{encoder}/embed",
        encoder=f"{encoder}/stack",
        encoder_norm=f"{encoder}/norm",
        head="heads_image/head",
        depth=net.sizes["diffloss_d"],
    )
    names = {"model.": "llm.model.", "lm_head.": "llm.lm_head."}
    bridge = (*_project("proj_in", "embed_image/project"), *_project("proj_out", "heads_image/project"))
    yield from under("pytorch_model.", (*renamed(words.rules, names), *under("mar.", own), *bridge))


def _project(name: str, path: str) -> Iterator[Rule]:
    yield from dense(f"{name}.0", f"{path}/up")
    yield from dense(f"{name}.2", f"{path}/down")
