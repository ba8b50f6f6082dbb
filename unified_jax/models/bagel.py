"""BAGEL: understanding, drawing and editing in one mixture of transformers (arXiv:2505.14683).

Latents have an expert of their own; all else, the delimiters around them too, goes through the language model's
(``bagel_script.py``). A given picture is read by the encoder; where the document asks for a picture, as latents before
that. Drawn ones are flow-matched latents, guided by the text and, in edits, by the given pictures. The published
settings: steps 49 (its count of 50 is of times), shift 3, guidance_scale 4, and in edits image_guidance_scale 2
(github.com/ByteDance-Seed/Bagel, ``inferencer.py``, which draws the latents of given pictures from their posterior;
here they are its most probable ones, unless the document was encoded with a key, ``family.encode([document], params,
rng=key)``).

A folder holds config.json, llm_config.json, vit_config.json, ema.safetensors, ae.safetensors and the tokenizer's files.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from PIL.Image import Resampling

from unified_jax.codecs.grouped import Grouped
from unified_jax.codecs.network import LatentCodec
from unified_jax.codecs.patch import Patches
from unified_jax.core.noise import Rectified
from unified_jax.core.types import DTypeLike
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.picture_size import whole_steps
from unified_jax.data.picture_steps import Affine, Resize
from unified_jax.data.preprocess import Preprocess
from unified_jax.interop.pairs import dense, renamed, under
from unified_jax.interop.rules import Rule
from unified_jax.models import lm
from unified_jax.models.bagel_script import Script, before_last_text, without_pictures
from unified_jax.models.codecs.flux import flux_autoencoder
from unified_jax.models.decoders import llama
from unified_jax.models.decoders.causal_lm import Decoder, TextSide, text_side
from unified_jax.models.encoders.siglip import siglip2_vision
from unified_jax.models.family import Family
from unified_jax.models.mixture import ROUTE, second
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published, with_defaults
from unified_jax.models.reader import Reader, Readers
from unified_jax.nn.connectors.projection import Projection
from unified_jax.nn.embed import Latents
from unified_jax.nn.head import Linear
from unified_jax.nn.mlp import find_activation
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.packed_vision import PackedVision
from unified_jax.sampling.fill import Autoregress, Integrate
from unified_jax.sampling.guidance import ClassifierFree
from unified_jax.sampling.guidance.classifier_free import nested
from unified_jax.sampling.guidance.correct import renormalise, renormalise_channels

DEFAULTS = {
    "latent_patch_size": 2,
    "max_latent_size": 64,
    "vit_max_num_patch_per_side": 70,
    "connector_act": "gelu_pytorch_tanh",
    "vae_config": {},
}
DRAW = ClassifierFree(nested, interval=(0.4, 1.0), correct=renormalise)
EDIT = ClassifierFree(nested, correct_text=renormalise_channels)
MOST_PIXELS = 14 * 14 * 9 * 1024  # of a given picture


def bagel(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Raises ValueError where one of the files of its parts is missing."""
    config = with_defaults(config, DEFAULTS)
    text, vision = (_part(beside, f"{name}_config.json") for name in ("llm", "vit"))
    stack = llama.stack(
        text,
        qkv_bias=True,
        qk_norm=partial(RMSNorm, text["rms_norm_eps"]),
        route=ROUTE,
        dtype=dtype,
    )
    words = text_side(Decoder(lm.computed(stack, **computation), llama.RULES), text, tied=False, dtype=dtype)
    tower, vae = _tower(config, vision, dtype), flux_autoencoder(Config(config["vae_config"]), dtype=dtype)
    codec = Grouped(LatentCodec(vae.module), config["latent_patch_size"])
    width, side, places = text["hidden_size"], config["max_latent_size"], tower.module.embed.grid
    connector = Projection(width, (width,), find_activation(config["connector_act"]), dtype=dtype)
    return Model(
        lane={"text": "main", "vision": "main", "image": "picture"},
        width={"main": width, "picture": width},
        embed={
            "text": words.tokens,
            "vision": PackedVision(tower.module, connector, width, places, dtype=dtype),
            "image": Latents(width, (side, side), frequencies=128, scale=1.0, dtype=dtype),
        },
        backbone=words.stack,
        heads={"text": words.head, "image": Linear(codec.shape[0], zero=True)},
        dtype=dtype,
        family=_family(config, beside, words=words, tower=tower, vae=vae, codec=codec),
    )


def _part(beside: Beside, name: str) -> Config:
    if name not in beside.files:
        raise ValueError(f"a bagel folder needs {name} beside its config.json")
    return Config(beside.files[name])


def _tower(config: Config, vision: Config, dtype: DTypeLike) -> Component:
    """As the official loader builds it: without the last layer, patches as a product, places not resized."""
    places = config["vit_max_num_patch_per_side"] ** 2
    depth = vision["num_hidden_layers"] - 1
    fields = {"num_hidden_layers": depth, "num_patches": places, "vision_use_head": False}
    return siglip2_vision(Config({**vision, **fields}), dtype=dtype)


def _family(
    config: Config, beside: Beside, *, words: TextSide, tower: Component, vae: Component, codec: Grouped
) -> Family:
    patches, side = Patches(tower.module.embed.patch), config["max_latent_size"]
    factor = vae.module.factor * codec.size
    script = Script(beside.tokenizer, codec, (side, side))
    path, stop = Rectified(), (script.id("<|im_end|>"),)
    rules = (*under("ema.", _rules(words, tower)), *under("ae.", vae.published.rules, path="codec/"))
    published = Published(dict(config), rules, stems=("ema", "ae"), files=beside.files)
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=beside.tokenizer,
        codec=codec,
        streams={
            "text": Stream("main"),
            "vision": Stream("main", patches.shape, patches.dtype),
            "image": Stream("picture", codec.shape, codec.dtype),
        },
        smallest=Layout({"main": 2, "picture": 1}, {"text": 1, "vision": 1, "image": 1}),
        image_size=(side * factor, side * factor),
        write=script.write,
        null=before_last_text,
        blind=without_pictures,
        fills={
            "text": Autoregress("text", allowed=(0, words.tokens.vocab), stop=stop),
            "image": Integrate("image", path, guidance=DRAW),
            "edit": Integrate("image", path, guidance=EDIT),
        },
        values_of=lambda values: values,
        published=published,
        reader=_reader(patches, tower.module.embed.grid[0], codec, side, factor),
    )


def _reader(patches: Patches, rows: int, codec: Grouped, side: int, factor: int) -> Readers:
    """Given pictures as patches and as latents. Of the larger sizes, which are those of the tables of places, the
    published lower bounds are 16 / 70 and 1 / 2.
    """
    size = lambda step, most, least: partial(whole_steps, step=step, least=least * step, most=most * step)
    of_latents, of_patches = (
        Resize(partial(size(*bounds), pixels=MOST_PIXELS), Resampling.BICUBIC)
        for bounds in ((factor, side, side // 2), (patches.size, rows, rows * 16 // 70))
    )
    scaled = Affine(1 / 255, (0.5,) * 3, (0.5,) * 3)
    seen = Reader(Preprocess((of_latents, of_patches, scaled)), patches)
    return Readers((seen, Reader(Preprocess((of_latents, scaled)), codec)))


def _rules(words: TextSide, tower: Component) -> Iterator[Rule]:
    for rules in (words.rules, second(words.rules, "moe_gen")):
        yield from renamed(rules, {"model.": "language_model.model.", "lm_head.": "language_model.lm_head."})
    yield from under("vit_model.vision_model.", tower.published.rules, path="embed_vision/encoder/")
    yield from dense("connector.fc1", "embed_vision/connector/layer_0")
    yield from dense("connector.fc2", "embed_vision/connector/out")
    yield from dense("vae2llm", "embed_image/in")
    yield from dense("time_embedder.mlp.0", "embed_image/time_in")
    yield from dense("time_embedder.mlp.2", "embed_image/time_out")
    yield from dense("llm2vae", "heads_image/out")
    yield Rule("vit_pos_embed.pos_embed", "embed_vision/place", "(r c) d -> r c d")
    yield Rule("latent_pos_embed.pos_embed", "embed_image/place", "(r c) d -> r c d")
