"""VAR as it was released: pictures of a class, scale by scale, each scale at once from all smaller ones
(arXiv:2404.02905).

    class, told to every norm        codes of 1 x 1, then of 2 x 2 ... each scale one block, which sees those before it

A class is a text that is its number, ``Text("207")``; the null class is the one behind the last. Guidance grows from
none at the first scale to all of it at the last.

The folder (FoundationVision/var on the Hub publishes single files; they are to be called so):

    config.json     {"model_type": "var", "vae": {...}, "var": {...}}, the constructors' arguments
    vae.pth         vae_ch160v4096z32.pth
    var.pth         var_d16.pth, say

``save_pretrained`` writes vae.safetensors and var.safetensors with the same names of tensors. The repository's own
settings are guidance_scale 5 (which it calls 4), top_k 900 and top_p 0.95, and image_temperature 1.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import numpy as np

from unified_jax.codecs.scale_codes import ScaleCodes
from unified_jax.core.types import DTypeLike
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import dense, out, under
from unified_jax.interop.rules import Rule
from unified_jax.models import lm
from unified_jax.models.codecs.var import var_vae
from unified_jax.models.family import UNREAD, Family, unread
from unified_jax.models.llamagen import class_of
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published, with_defaults
from unified_jax.models.var import by_scale
from unified_jax.nn.adaptive_norm import AdaNorm, SharedModulation, TableNorm
from unified_jax.nn.block import Block
from unified_jax.nn.entries import EntryCondition
from unified_jax.nn.head import Linear
from unified_jax.nn.mlp import Mlp
from unified_jax.nn.norm import LayerNorm, SharpUnitNorm, UnitNorm
from unified_jax.nn.rope import NoRope
from unified_jax.nn.scale_sums import ScaleSums
from unified_jax.nn.stack import Stack
from unified_jax.nn.told import Classes, ToldHead
from unified_jax.sampling.fill import NextScale

STEMS = ("vae", "var")
# The repository's own; width and heads follow from the depth there.
DEFAULTS = {
    "num_classes": 1000,
    "mlp_ratio": 4.0,
    "norm_eps": 1e-6,
    "shared_aln": False,
    "attn_l2_norm": True,
    "patch_nums": (1, 2, 3, 4, 5, 6, 8, 10, 13, 16),
}
PARTS = ("gate", "scale", "shift")  # of every norm in a layer, in the published order
# What a released VAE's constructor was given.
VAE = {"vocab_size": 4096, "z_channels": 32, "ch": 160}


def var(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``."""
    sizes = _sizes(Config(config["var"]))
    vae = var_vae(with_defaults(Config(config["vae"]), VAE), dtype=dtype)
    width, sides = sizes["embed_dim"], tuple(sizes["patch_nums"])
    codec, classes = ScaleCodes(vae.module, sides=sides), Classes(sizes["num_classes"] + 1, width)
    norm = AdaNorm(_bare(sizes), parts=PARTS[1:])
    lane = {"image": "main"}
    return Model(
        lane=lane,
        width={"main": width},
        embed={"image": ScaleSums(vae.module, classes, width, sides, dtype=dtype)},
        backbone=lm.computed(_stack(sizes, dtype=dtype), **computation),
        heads={"image": ToldHead(classes, norm, Linear(vae.module.codes))},
        dtype=dtype,
        condition=EntryCondition({"image": classes}, lane, width, dtype),
        codec=vae.module,
        family=_family(config, beside, sizes=sizes, codec=codec, vae=vae),
    )


def _sizes(config: Config) -> Config:
    depth = config["depth"]
    return with_defaults(config, DEFAULTS | {"embed_dim": 64 * depth, "num_heads": depth})


def _bare(sizes: Config) -> Callable[..., LayerNorm]:
    return partial(LayerNorm, sizes["norm_eps"], use_scale=False, use_bias=False)


def _stack(sizes: Config, *, dtype: DTypeLike) -> Stack:
    width, heads = sizes["embed_dim"], sizes["num_heads"]
    cosine = dict(qk_norm=SharpUnitNorm, k_norm=UnitNorm, scale=1.0)
    norm, shared = (TableNorm, SharedModulation) if sizes["shared_aln"] else (AdaNorm, None)
    block = partial(
        Block,
        num_heads=heads,
        head_dim=width // heads,
        pre_norm=partial(norm, _bare(sizes), parts=PARTS),
        mlp=partial(Mlp, round(width * sizes["mlp_ratio"]), jax.nn.gelu, dtype=dtype),
        route={"main": "main"},
        qkv_bias=True,
        out_bias=True,
        dtype=dtype,
        **(cosine if sizes["attn_l2_norm"] else dict(scale=0.25 * (width // heads) ** -0.5)),
    )
    return Stack(block, sizes["depth"], NoRope(width // heads), norm=None, modulation=shared)


def _family(config: Config, beside: Beside, *, sizes: Config, codec: ScaleCodes, vae: Component) -> Family:
    counts, side = tuple(each**2 for each in codec.sides), codec.sides[-1] * codec.module.factor
    rules = (*under("", vae.published.rules, path="codec/"), *under("var.", RULES))
    last = max(len(counts) - 1, 1)
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=beside.tokenizer,
        codec=codec,
        streams={"image": Stream("main", told=True)},
        smallest=Layout({"main": 1}, {"image": 1}),
        image_size=(side, side),
        write=partial(_write, counts=counts, classes=sizes["num_classes"]),
        null=unread,
        fills={"image": NextScale("image", counts, shares=tuple(k / last for k in range(len(counts))))},
        values_of=lambda values: values,
        published=Published(
            dict(config), rules, vae.published.skip, stems=STEMS, files=beside.files, constants=_constants(counts)
        ),
    )


def _write(document: Document, *, counts: tuple[int, ...], classes: int) -> list[Span]:
    """Raises ValueError for anything but a class and a picture to draw of it."""
    if [(type(part), part.target) for part in document] != [(Text, False), (Image, True)]:
        raise ValueError("this model draws one picture of a class: give it a Text and then Image(target=True)")
    text, image = document
    number = class_of(text, count=classes)
    (span,) = by_scale(image, True, counts=counts)
    return [dataclasses.replace(span, told=classes if document.info.get(UNREAD) else number)]


def _constants(counts: tuple[int, ...]) -> Mapping[str, np.ndarray]:
    """What the reference holds beside its weights: the scale of every entry, and its mask."""
    scale = np.repeat(np.arange(len(counts)), counts)
    mask = np.where(scale[:, None] >= scale, 0.0, -np.inf).astype(np.float32)
    return {"var.lvl_1L": scale[None], "var.attn_bias_for_masking": mask[None, None]}


def _modulated(name: str, leaf: str, form: str) -> Rule:
    """Of one linear layer for both norms of a layer, whose parts lie alternately."""
    paths = tuple(f"{OURS}/{place}_norm_main/modulation/{leaf}" for place in ("attn", "mlp"))
    return Rule(name, paths, form)


def _rules() -> Iterator[Rule]:
    yield Rule("class_emb.weight", "embed_image/classes/table")
    yield Rule("pos_start", "embed_image/start", "1 1 d -> d")
    yield Rule("pos_1LC", "embed_image/place", "1 n d -> n d")
    yield Rule("lvl_embed.weight", "embed_image/level")
    yield from dense("word_embed", "embed_image/word")
    yield Rule(
        f"{LAYER}.attn.mat_qkv.weight", tuple(f"{OURS}/{x}_main/kernel" for x in "qkv"), "(three h c) d -> three d h c"
    )
    for name, x in (("q_bias", "q"), ("zero_k_bias", "k"), ("v_bias", "v")):
        yield Rule(f"{LAYER}.attn.{name}", f"{OURS}/{x}_main/bias", "(h c) -> h c")
    yield Rule(f"{LAYER}.attn.scale_mul_1H11", f"{OURS}/q_norm_main/scale", "1 h 1 1 -> h")
    yield from out(f"{LAYER}.attn.proj", f"{OURS}/o_main")
    yield from dense(f"{LAYER}.ffn.fc1", f"{OURS}/mlp_main/up")
    yield from dense(f"{LAYER}.ffn.fc2", f"{OURS}/mlp_main/down")
    yield _modulated(f"{LAYER}.ada_lin.1.weight", "kernel", "(p two d) e -> two e p d")
    yield _modulated(f"{LAYER}.ada_lin.1.bias", "bias", "(p two d) -> two p d")
    tables = tuple(f"{OURS}/{place}_norm_main/table" for place in ("attn", "mlp"))
    yield Rule(f"{LAYER}.ada_gss", tables, "1 1 (p two) d -> two p d")
    yield Rule("shared_ada_lin.1.weight", "backbone/modulation/modulation/kernel", "(three two d) e -> e two (three d)")
    yield Rule("shared_ada_lin.1.bias", "backbone/modulation/modulation/bias", "(three two d) -> two (three d)")
    yield Rule("head_nm.ada_lin.1.weight", "heads_image/norm/modulation/kernel", "(p d) e -> e p d")
    yield Rule("head_nm.ada_lin.1.bias", "heads_image/norm/modulation/bias", "(p d) -> p d")
    yield from dense("head", "heads_image/head/out")


LAYER, OURS = r"blocks.(\d+)", "backbone/layer"
RULES = tuple(_rules())
