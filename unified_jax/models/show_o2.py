"""Show-o2: one latent of a picture read twice, text in turn and pictures as a flow, by a head that is a network of its
own (arXiv:2506.15564).

    latents -> TwoReads -> Qwen2.5 -> words
                                   -> layers that are told the time, over words and pictures -> velocity

``show_o2_script.py`` is how it writes; the null prompt is empty. The published settings (github.com/showlab/Show-o,
``show-o2/configs``): steps 49 (its count of 50 is of times), shift 3, guidance_scale 5 or 7.5. The release reads a draw
of a given picture's latents; here they are its most probable ones.

The folder (showlab/show-o2-1.5B or -7B on the Hub, with what its code takes from three other repositories):

    config.json, pytorch_model.bin                         of ``Showo2Qwen2_5``; safetensors too, which is written
    llm/config.json, tokenizer.json, ...                   of Qwen/Qwen2.5-1.5B-Instruct or -7B-Instruct
    siglip/config.json                                     of google/siglip-so400m-patch14-384
    vae/config.json, vae/diffusion_pytorch_model.*         of Wan-AI/Wan2.1-T2V-1.3B-Diffusers
    diffusion_head/config.json                             only where the head's sizes are others
"""

from functools import partial
from typing import Any

from unified_jax.codecs.network import LatentCodec
from unified_jax.codecs.raster import Raster
from unified_jax.core.noise import Rectified
from unified_jax.core.noise.prediction import Fixed
from unified_jax.core.types import DTypeLike
from unified_jax.data.pack import Layout, Stream
from unified_jax.models import lm
from unified_jax.models.codecs.wan import wan
from unified_jax.models.decoders import llama, qwen
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.find import find_decoder
from unified_jax.models.encoders import siglip, transformer
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published, with_defaults
from unified_jax.models.reader import Reader, square
from unified_jax.models.show_o2_rules import STEMS, rules
from unified_jax.models.show_o2_script import END, Script
from unified_jax.nn.adaptive_norm import AdaNorm, SomeNorm
from unified_jax.nn.connectors.projection import Projection
from unified_jax.nn.continued import Continued
from unified_jax.nn.entries import EntryCondition
from unified_jax.nn.head import Part
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.stack import Stack
from unified_jax.nn.two_reads import Clock, FlowHead, TellTime, TwoReads
from unified_jax.sampling.fill import Autoregress, Integrate

PATH = Rectified(Fixed(1.0, -1.0))  # its velocity is that towards the data
PARTS = ("llm", "siglip", "vae")
HEAD = {  # sizes that the release has in code
    "hidden_size": 2048,
    "head_dim": 64,
    "intermediate_size": 8192,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 500_000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
    },
}


def show_o2(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Raises ValueError for a folder without the config of one of its parts,
    and for a model without a slot for the time.
    """
    if missing := [name for name in PARTS if f"{name}/config.json" not in beside.files]:
        raise ValueError(f"a Show-o2 folder needs {missing[0]}/config.json, which says what that part of it is")
    if not config["add_time_embeds"]:
        raise ValueError("add_time_embeds false: only the Show-o2 with a slot for the time is known here")
    text, vision, video = (Config(beside.files[f"{name}/config.json"]) for name in PARTS)
    text = with_defaults(Config(text | {"vocab_size": config["llm_vocab_size"]}), qwen.DEFAULTS)
    tied = text.get("tie_word_embeddings", False)
    words = text_side(find_decoder(text, dtype=dtype, **computation), text, tied=tied, dtype=dtype)
    head = with_defaults(Config(beside.files.get("diffusion_head/config.json", {})), HEAD)
    width, told = text["hidden_size"], head["hidden_size"]
    grid = config["image_latent_height"], config["image_latent_width"]
    vae, clock = wan(video, dtype=dtype), Clock(told)
    then = lm.computed(_head(config, head, dtype), **computation)
    scaled = partial(RMSNorm, 1e-6)
    flow = FlowHead(clock, grid, AdaNorm(scaled, ("shift", "scale")))
    lane = {"text": "main", "image": "main"}
    return Model(
        lane=lane,
        width={"main": width},
        embed={"text": words.tokens, "image": _reads(config, vision, clock, width, dtype)},
        backbone=Continued(words.stack, Projection(told, (told,), dtype=dtype), then),
        heads={"text": Part(words.head, 0, width), "image": Part(flow, width, told)},
        condition=EntryCondition({"image": TellTime(clock, grid)}, lane, told + 1),
        dtype=dtype,
        family=_family(config, beside, words=words, tied=tied, vae=vae, grid=grid),
    )


def _reads(config: Config, vision: Config, clock: Clock, width: int, dtype: DTypeLike) -> TwoReads:
    """The release drops SigLIP's last layer, and the norm behind it."""
    vision = with_defaults(Config(vision.get("vision_config", vision)), siglip.DEFAULTS)
    seen = Config(vision | {"num_hidden_layers": vision["num_hidden_layers"] - 1})
    places = transformer.table_side(vision)
    return TwoReads(
        clock,
        transformer.stack(seen, dtype=dtype),
        Projection(width, (width,), norm=partial(RMSNorm, 1e-6), dtype=dtype),
        (config["image_latent_height"], config["image_latent_width"]),
        (places, places),
        config["image_latent_dim"],
        config["clip_latent_dim"],
        width,
        dtype=dtype,
    )


def _head(config: Config, head: Config, dtype: DTypeLike) -> Stack:
    """Layers of the flow head, without a norm behind the last."""
    told = partial(SomeNorm, partial(RMSNorm, head["rms_norm_eps"]))
    layers = Config(head | {"num_hidden_layers": config["num_diffusion_layers"]})
    return llama.stack(layers, pre_norm=told, qk_norm=partial(RMSNorm, 1e-6), dtype=dtype).clone(norm=None)


def _family(
    config: Config, beside: Beside, *, words: TextSide, tied: bool, vae: Component, grid: tuple[int, int]
) -> Family:
    codec = Raster(LatentCodec(vae.module), config["patch_size"])
    script = Script(beside.tokenizer, codec, grid)
    height, columns = (side * codec.size * vae.module.factor for side in grid)
    room = {"text": 1, "image": 1 + grid[0] * grid[1]}
    end = beside.tokenizer.stop or (beside.tokenizer.special_id(END),)
    return Family(
        name=config["_class_name"],
        arguments={},
        tokenizer=beside.tokenizer,
        codec=codec,
        streams={"text": Stream("main"), "image": Stream("main", codec.shape, codec.dtype)},
        smallest=Layout({"main": sum(room.values())}, room),
        image_size=(height, columns),
        write=script.write,
        null=without_text,
        fills={
            "text": Autoregress("text", allowed=(0, words.tokens.vocab), stop=end),
            "image": Integrate("image", PATH),
        },
        values_of=lambda values: values[1:].reshape(*grid, -1),
        published=Published(dict(config), tuple(rules(words, vae, tied=tied)), stems=STEMS, files=beside.files),
        reader=Reader(square(height), codec),
    )
