"""LlamaGen: a Llama that draws pictures as codes, row by row, after a class or a caption (arXiv:2406.06525).

    class      code ... code
    padding (hidden) ... padding, feature ... feature, 120 in all,     code ... code

What stands before the picture is not rotated but silenced (``nn/raster_rope.py``). A class is a text that is its
number, ``Text("207")``. A caption is a text with what FLAN-T5 XL made of it, eos included (``encoders/t5.py``; the
repository lowers and cleans captions before): ``Text(caption, values=features)``, [n caption_dim], n up to 120. The
null class is the one behind the last; the null caption has learned features in as many places.

The folder (github.com/FoundationVision/LlamaGen publishes single files; they are to be called so):

    config.json         {"model_type": "llamagen", "vq": {...}, and "c2i" or "t2i": {...}}, the constructors' arguments
    vq.pt               vq_ds16_c2i.pt, say
    c2i.pt or t2i.pt    c2i_B_256.pt or t2i_XL_stage1_256.pt, say

``save_pretrained`` writes vq.safetensors and c2i.safetensors with the same names of tensors. The repository's own
settings are guidance_scale 4 and top_k 2000 for classes, 7.5 and 1000 for captions, and image_temperature 1.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from unified_jax.codecs.network import NetworkCodec
from unified_jax.core.types import DTypeLike
from unified_jax.data.document import Document, Image, Text
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.plan import Span
from unified_jax.interop.pairs import dense, norm, out, under
from unified_jax.interop.rules import Rule
from unified_jax.models import lm
from unified_jax.models.codecs.llamagen import llamagen_vq
from unified_jax.models.family import UNREAD, Family, unread
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published, skip_under, with_defaults
from unified_jax.nn.block import Block
from unified_jax.nn.connectors.projection import Projection
from unified_jax.nn.embed import Tokens
from unified_jax.nn.given_features import GivenFeatures
from unified_jax.nn.head import Linear
from unified_jax.nn.mlp import GatedMlp
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.raster_rope import RasterRope
from unified_jax.nn.rope import NEIGHBOURS, Rope
from unified_jax.nn.stack import Stack
from unified_jax.sampling.fill import Autoregress

# The repository's own; of captions, those of flan-t5-xl.
DEFAULTS = {
    "n_kv_head": None,
    "multiple_of": 256,
    "ffn_dim_multiplier": None,
    "rope_base": 10_000,
    "norm_eps": 1e-5,
    "vocab_size": 16384,
    "num_classes": 1000,
    "caption_dim": 2048,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Condition:
    """What stands before the picture. length: its slots. spans: of a text, or with null=True of none in its place."""

    length: int
    stream: Stream
    embed: nn.Module
    spans: Callable[..., list[Span]]


def llamagen(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Raises ValueError for a config of not exactly one decoder."""
    kinds = {"c2i": classes, "t2i": captions}
    described = [kind for kind in kinds if kind in config]
    if len(described) != 1:
        found = " and ".join(described) or "neither"
        raise ValueError(f"config.json of a llamagen model describes one decoder, 'c2i' or 't2i'; found {found}")
    (kind,) = described
    sizes = with_defaults(Config(config[kind]), DEFAULTS)
    condition = kinds[kind](sizes, dtype=dtype)
    vq, width, vocab = llamagen_vq(Config(config["vq"]), dtype=dtype), sizes["dim"], sizes["vocab_size"]
    return Model(
        lane={"condition": "main", "image": "main"},
        width={"main": width},
        embed={"condition": condition.embed, "image": Tokens(vocab, width, dtype=dtype)},
        backbone=lm.computed(_stack(sizes, prefix=condition.length, dtype=dtype), **computation),
        heads={"image": Linear(vocab, use_bias=False)},
        dtype=dtype,
        family=_family(config, beside, kind=kind, condition=condition, side=_side(sizes), vq=vq),
    )


def classes(sizes: Config, *, dtype: DTypeLike) -> Condition:
    """One slot, of a class."""
    count = sizes["num_classes"]

    def spans(text: Text, *, null: bool) -> list[Span]:
        number = class_of(text, count=count)
        return [_condition(np.array([count if null else number], np.int32))]

    return Condition(1, Stream("main"), Tokens(count + 1, sizes["dim"], dtype=dtype), spans)


def class_of(text: Text, *, count: int) -> int:
    """The class that a text is the number of. Raises ValueError for any other text."""
    number = str(text.text).strip()
    if not (number.isdecimal() and int(number) < count):
        raise ValueError(f"the condition is a class, a number from 0 to {count - 1}; found {text.text!r}")
    return int(number)


def captions(sizes: Config, *, dtype: DTypeLike) -> Condition:
    """A slot for each feature of a caption, behind hidden ones."""
    length, width = sizes["cls_token_num"], sizes["caption_dim"]

    def spans(text: Text, *, null: bool) -> list[Span]:
        shape = np.shape(text.values)
        if len(shape) != 2 or not 0 < shape[0] <= length or shape[1] != width:
            raise ValueError(f"a caption is Text(..., values=features) of [1 to {length}, {width}]; found {shape}")
        given = np.full((shape[0], 1), 0 if null else 1)
        features = np.concatenate([np.asarray(text.values), given], -1).astype(np.float32)
        padding = np.zeros((length - shape[0], width + 1), np.float32)
        return [*([_condition(padding, private=True)] if len(padding) else []), _condition(features)]

    connector = Projection(sizes["dim"], (sizes["dim"],), jax.nn.gelu, use_bias=False, dtype=dtype)
    return Condition(length, Stream("main", (width + 1,), np.float32), GivenFeatures(connector, length), spans)


def _condition(values: np.ndarray, *, private: bool = False) -> Span:
    return Span((("condition", values),), learn=False, private=private)


def _side(sizes: Config) -> int:
    """Codes along a side of the picture."""
    side = math.isqrt(sizes["block_size"])
    if side**2 != sizes["block_size"]:
        raise ValueError(f"block_size {sizes['block_size']} is no square: pictures are square here")
    return side


def _stack(sizes: Config, *, prefix: int, dtype: DTypeLike) -> Stack:
    width, heads = sizes["dim"], sizes["n_head"]
    hidden = int((sizes["ffn_dim_multiplier"] or 1) * int(8 * width / 3))
    quarter, rest = divmod(width // heads, 4)
    if rest:
        raise ValueError(f"heads of {width // heads} channels: 2-D RoPE needs a multiple of 4")
    block = partial(
        Block,
        num_heads=heads,
        num_kv_heads=sizes["n_kv_head"],
        head_dim=width // heads,
        pre_norm=partial(RMSNorm, sizes["norm_eps"]),
        mlp=partial(GatedMlp, -(-hidden // sizes["multiple_of"]) * sizes["multiple_of"], dtype=dtype),
        route={"main": "main"},
        dtype=dtype,
    )
    rope = Rope(width // heads, sizes["rope_base"], sections=(quarter, quarter), pairing=NEIGHBOURS)
    rope = RasterRope(rope, prefix, _side(sizes))
    return Stack(block, sizes["n_layer"], rope, norm=partial(RMSNorm, sizes["norm_eps"]))


def _family(config: Config, beside: Beside, *, kind: str, condition: Condition, side: int, vq: Component) -> Family:
    codec, stems = NetworkCodec(vq.module), ("vq", kind)
    rules = (*under("vq.", vq.published.rules, path="codec/"), *under(f"{kind}.", RULES))
    skip = skip_under({"vq.": vq.published.skip, f"{kind}.": "freqs_cis"})
    allowed = (0, codec.module.codes)
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=beside.tokenizer,
        codec=codec,
        streams={"condition": condition.stream, "image": Stream("main")},
        smallest=Layout({"main": 1}, {"condition": 1, "image": 1}),
        image_size=(side * codec.module.factor,) * 2,
        write=partial(_write, condition=condition, side=side),
        null=unread,
        fills={"image": Autoregress("image", allowed=allowed, length=side**2, picture=True, after="condition")},
        values_of=lambda values: values.reshape(side, side),
        published=Published(dict(config), rules, skip, stems=stems, former=FORMER, files=beside.files),
    )


def _write(document: Document, *, condition: Condition, side: int) -> list[Span]:
    """Raises ValueError for anything but a condition and a picture to draw after it."""
    if [(type(part), part.target) for part in document] != [(Text, False), (Image, True)]:
        raise ValueError("this model draws one picture after one text: give it a Text and then Image(target=True)")
    text, image = document
    given = condition.spans(text, null=bool(document.info.get(UNREAD)))
    if image.values is None:
        return [*given, Span((("image", np.zeros(side**2, np.int32)),), fill="image")]
    if image.values.shape != (side, side):
        raise ValueError(f"pictures are {side} x {side} codes here, found {image.values.shape}")
    return [*given, Span((("image", image.values.reshape(-1)),))]


LAYER, OURS = r"layers.(\d+)", "backbone/layer"
RULES = (
    Rule("cls_embedding.embedding_table.weight", "embed_condition/table"),
    Rule("cls_embedding.uncond_embedding", "embed_condition/null"),
    *dense("cls_embedding.cap_proj.fc1", "embed_condition/connector/layer_0"),
    *dense("cls_embedding.cap_proj.fc2", "embed_condition/connector/out"),
    Rule("tok_embeddings.weight", "embed_image/table"),
    Rule(f"{LAYER}.attention.wqkv.weight", tuple(f"{OURS}/{x}_main/kernel" for x in "qkv"), "[h c] d -> d h c"),
    *out(f"{LAYER}.attention.wo", f"{OURS}/o_main"),
    *norm(f"{LAYER}.attention_norm", f"{OURS}/attn_norm_main"),
    *norm(f"{LAYER}.ffn_norm", f"{OURS}/mlp_norm_main"),
    *dense(f"{LAYER}.feed_forward.w1", f"{OURS}/mlp_main/gate"),
    *dense(f"{LAYER}.feed_forward.w3", f"{OURS}/mlp_main/up"),
    *dense(f"{LAYER}.feed_forward.w2", f"{OURS}/mlp_main/down"),
    *norm("norm", "backbone/norm_main"),
    *dense("output", "heads_image/out"),
)
FORMER = {r"^(\w+)\.(?:model|module|state_dict)\.": r"\1."}  # what several trainers put around a state dict
