"""MAR: pictures of a class, of latents that are drawn in groups, in an order of chance (arXiv:2406.11838).

    image    entry, ..., entry in raster order, buffer, ..., buffer

A masked autoencoder over them (``mar_network.py``): its encoder is the backbone, its decoder belongs to the head. A
class is a text that is its number, ``Text("207")``; the null class is the one behind the last. Guidance grows with the
share of the picture that is made.

The folder (github.com/LTH14/mar publishes single files; they are to be called so):

    config.json       {"model_type": "mar", "mar": {...}}, the constructor's arguments; "vae": {...} for another codec
    checkpoint.pth    of whose entries "model_ema" is read
    kl16.ckpt

``save_pretrained`` writes checkpoint.safetensors and kl16.safetensors with the same names of tensors. The repository's
own settings are steps 256, guidance_scale 2.9 (B), 3.0 (L) or 3.2 (H) and image_temperature 1.
"""

from functools import partial
from typing import Any

from unified_jax.codecs.network import LatentCodec
from unified_jax.core.types import Array, DTypeLike
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import under
from unified_jax.models import lm
from unified_jax.models.codecs.mar import mar_vae
from unified_jax.models.family import UNREAD, Family, unread
from unified_jax.models.llamagen import class_of
from unified_jax.models.mar_network import NORM, MarNetwork, mar_rules
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published, skip_under

STEMS = ("checkpoint", "kl16")


def mar(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``."""
    net = MarNetwork.of(Config(config["mar"]), dtype=dtype)
    vae = mar_vae(Config({"embed_dim": net.sizes["vae_embed_dim"], **config.get("vae", {})}), dtype=dtype)
    encoder, decoder = (lm.computed(net.stack(which), **computation) for which in ("encoder", "decoder"))
    return Model(
        lane={"image": "main"},
        width={"main": net.sizes["encoder_embed_dim"]},
        embed={"image": net.embed()},
        backbone=encoder.clone(norm=NORM),
        heads={"image": net.head(decoder)},
        dtype=dtype,
        family=_family(config, beside, net=net, vae=vae),
    )


def _family(config: Config, beside: Beside, *, net: MarNetwork, vae: Component) -> Family:
    codec, size = LatentCodec(vae.module), net.pictures.size
    pieces = dict(embed="embed_image", encoder="backbone", encoder_norm="backbone/norm_main", head="heads_image")
    own = mar_rules(**pieces, depth=net.sizes["diffloss_d"])
    rules = (*under("checkpoint.", own), *under("kl16.", vae.published.rules, path="codec/"))
    skip = skip_under({"checkpoint.": r"(?:model|optimizer|scaler)\..*", "kl16.": vae.published.skip})
    former = {r"^checkpoint\.model_ema\.": "checkpoint.", r"^kl16\.model\.": "kl16."}
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=beside.tokenizer,
        codec=codec,
        streams={"image": Stream("main", codec.shape, codec.dtype, told=True)},
        smallest=Layout({"main": size}, {"image": size}),
        image_size=(net.pictures.grid[0] * vae.module.factor,) * 2,
        write=partial(_write, net=net),
        null=unread,
        fills={"image": net.fill(growth=_growth)},
        values_of=net.values_of,
        published=Published(dict(config), rules, skip, stems=STEMS, former=former, files=beside.files),
    )


def _growth(made: Array) -> Array:
    """The share of the guidance is that of the entries which are made."""
    return made


def _write(document: Document, *, net: MarNetwork) -> list[Span]:
    """Raises ValueError for anything but a class and a picture to draw of it."""
    if [(type(part), part.target) for part in document] != [(Text, False), (Image, True)]:
        raise ValueError("this model draws one picture of a class: give it a Text and then Image(target=True)")
    text, image = document
    count = net.sizes["class_num"]
    number = class_of(text, count=count)
    return [net.span(image, counted=True, told=count if document.info.get(UNREAD) else number)]
