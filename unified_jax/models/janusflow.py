"""JanusFlow: pictures are read by SigLIP and drawn as a rectified flow of latents, one decoder for both
(arXiv:2411.07975).

    read    [begin] rows x columns patches, as an encoder and an aligner show them <end_of_image>
    drawn   [time] rows x columns latents, through convolutions before the decoder and after it

``janusflow_script.py`` is how it writes; the null prompt of guidance is as long as the prompt, but only its first id is
seen. The published settings (github.com/deepseek-ai/Janus, ``demo/app_janusflow.py``): steps 30, guidance_scale 2.

The folder (deepseek-ai/JanusFlow-1.3B on the Hub, with the codec that its demo takes from stabilityai/sdxl-vae):

    config.json, model.safetensors, preprocessor_config.json, tokenizer.json, tokenizer_config.json
    vae/config.json, vae/diffusion_pytorch_model.safetensors
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from unified_jax.codecs.grouped import Grouped
from unified_jax.codecs.network import LatentCodec
from unified_jax.codecs.patch import Patches
from unified_jax.core.noise import Rectified
from unified_jax.core.noise.prediction import Fixed
from unified_jax.core.types import DTypeLike
from unified_jax.data.pack import Layout, Stream
from unified_jax.interop.pairs import dense, layer, norm, renamed, under
from unified_jax.interop.rules import Copy, Rule
from unified_jax.models.codecs.kl import autoencoder_kl
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.find import find_decoder, text_config
from unified_jax.models.encoders.timm_siglip import timm_siglip
from unified_jax.models.family import Family
from unified_jax.models.janusflow_script import Script, unread
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published, skip_under
from unified_jax.models.reader import Reader, unprepared
from unified_jax.nn.connectors.projection import Projection
from unified_jax.nn.embed import Tokens
from unified_jax.nn.grid_flow import GridEmbed, GridEncoder, GridHead
from unified_jax.nn.norm import RMSNorm
from unified_jax.nn.vision import Vision
from unified_jax.sampling.fill import Autoregress, Integrate

PATH = Rectified(Fixed(1.0, -1.0))  # its velocity is that towards the data
STEMS = ("model", "vae/diffusion_pytorch_model")
TOWERS = {  # sizes that the repository has in code
    "siglip_large_patch16_384": {"patch_size": 16, "width": 1024, "layers": 24, "heads": 16, "mlp_ratio": 4},
}


def janusflow(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Raises ValueError for a folder without its codec's config, and for
    encoders that are not as published.
    """
    if "vae/config.json" not in beside.files:
        raise ValueError("a JanusFlow folder needs vae/config.json, which says what its codec of latents is")
    text = text_config(Config(text_config=config["language_config"]))
    words = text_side(find_decoder(text, dtype=dtype, **computation), text, tied=False, dtype=dtype)
    tower = _tower(config, dtype)
    vae = autoencoder_kl(Config(beside.files["vae/config.json"]), dtype=dtype)
    before, after = (Config(config[f"vision_gen_{x}_config"]["params"]) for x in ("enc", "dec"))
    codec = Grouped(LatentCodec(vae.module), _patch(before, after))
    width, (pixels, _, _) = text["hidden_size"], tower.inputs[0].shape[1:]
    drawn = codec.grid(pixels, pixels)
    (features,), scaled = before["block_out_channels"], partial(RMSNorm, before["norm_eps"])
    patch = (codec.size, codec.size, *codec.codec.shape)
    encoder = GridEncoder(features, width, before["layers_in_middle"], patch, scaled, dtype)
    seen = Vision(tower.module, Projection(width, dtype=dtype), width, tower.module.embed.grid, dtype=dtype)
    norms = partial(RMSNorm, after["norm_eps"]), partial(RMSNorm, text["rms_norm_eps"])
    streams = ("text", "begin", "vision", "image")
    return Model(
        lane=dict.fromkeys(streams, "main"),
        width={"main": width},
        embed={
            "text": words.tokens,
            "begin": Tokens(1, width, dtype=dtype),
            "vision": seen,
            "image": GridEmbed(encoder, drawn, width, dtype=dtype),
        },
        backbone=words.stack,
        heads={"text": words.head, "image": GridHead(encoder, drawn, after["layers_in_middle"], *norms, dtype=dtype)},
        dtype=dtype,
        family=_family(config, beside, words=words, tower=tower, vae=vae, codec=codec, pixels=pixels),
    )


def _tower(config: Config, dtype: DTypeLike) -> Component:
    """The encoder that reads. A config may hold the sizes of one that is not in ``TOWERS`` under its name."""
    params = Config(config["vision_und_enc_config"]["params"])
    if params["select_layer"] != -1:
        raise ValueError(f"select_layer {params['select_layer']}: JanusFlow's encoder is known with all its layers, -1")
    sizes = config.get(params["model_name"], TOWERS.get(params["model_name"]))
    if sizes is None:
        raise ValueError(f"model_name {params['model_name']!r}; known are {', '.join(TOWERS)}")
    return timm_siglip(Config({"global_pool": "map", **sizes, "image_size": params["image_size"]}), dtype=dtype)


def _patch(before: Config, after: Config) -> int:
    """Latents of an entry, along a side. Raises ValueError where the two ends do not read and draw just those."""
    found = before["stride"], before["kernel_size"], 2 ** after["upsamples"]
    if len(set(found)) > 1 or before["padding"]:
        raise ValueError(
            "stride, kernel_size and 2^upsamples of a JanusFlow are one number, without padding; found "
            f"{', '.join(map(str, found))} and padding {before['padding']}"
        )
    return found[0]


def _family(
    config: Config,
    beside: Beside,
    *,
    words: TextSide,
    tower: Component,
    vae: Component,
    codec: Grouped,
    pixels: int,
) -> Family:
    tokenizer, patches = beside.tokenizer, Patches(tower.module.embed.patch)
    script = Script(tokenizer, tower.module.embed.grid, codec, codec.grid(pixels, pixels))
    seen, drawn = (rows * columns for rows, columns in (script.grid, script.drawn))
    room = {"text": 1, "begin": 1, "vision": seen, "image": 1 + drawn}
    end = tokenizer.stop or (tokenizer.special_id("eos_token"),)
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=tokenizer,
        codec=codec,
        streams={
            "text": Stream("main"),
            "begin": Stream("main"),
            "vision": Stream("main", patches.shape, patches.dtype),
            "image": Stream("main", codec.shape, codec.dtype),
        },
        smallest=Layout({"main": sum(room.values())}, room),
        image_size=(pixels, pixels),
        write=script.write,
        null=unread,
        fills={
            "text": Autoregress("text", allowed=(0, words.tokens.vocab), stop=end),
            "image": Integrate("image", PATH),
        },
        values_of=lambda values: values[1:].reshape(*script.drawn, -1),
        published=Published(
            dict(config),
            tuple(_rules(config, words, tower, vae)),
            skip_under({f"{STEMS[0]}.language_model.": words.skip}),
            stems=STEMS,
            former=vae.published.former,
            files=beside.files,
        ),
        reader=Reader(beside.preprocess or unprepared, patches),
    )


def _rules(config: Config, words: TextSide, tower: Component, vae: Component) -> Iterator[Rule | Copy]:
    yield from under(f"{STEMS[1]}.", vae.published.rules, path="codec/")
    own = {"model.": "language_model.model.", "lm_head.": "language_model.lm_head."}
    depths = [config[f"vision_gen_{x}_config"]["params"]["layers_in_middle"] for x in ("enc", "dec")]
    yield from under(f"{STEMS[0]}.", (*renamed(words.rules, own), *_read(tower), *_drawn(*depths)))


def _read(tower: Component) -> Iterator[Rule]:
    yield from under("vision_und_enc_model.vision_tower.", tower.published.rules, path="embed_vision/encoder/")
    yield from dense("vision_und_enc_aligner", "embed_vision/connector/out")
    yield Rule("beg_of_und_embed", "embed_begin/table")


def _drawn(before: int, after: int) -> Iterator[Rule]:
    """Of what stands around the decoder; numbers of blocks."""
    name, path = "vision_gen_enc_model", "embed_image/encoder"
    yield from layer(f"{name}.in_conv", f"{path}/in", "d c p q -> p q c d")
    yield from dense(f"{name}.time_embed.linear_1", f"{path}/time/up")
    yield from dense(f"{name}.time_embed.linear_2", f"{path}/time/down")
    yield from _blocks(name, path, before)
    yield from dense("vision_gen_enc_aligner", "embed_image/out")
    name, path = "vision_gen_dec_model", "heads_image"
    yield from norm("vision_gen_dec_aligner_norm", f"{path}/norm_in")
    yield from dense("vision_gen_dec_aligner", f"{path}/in")
    yield from norm(f"{name}.input_norm", f"{path}/norm_map")
    yield from _blocks(name, path, after)
    yield from norm(f"{name}.out_convs.0.norm", f"{path}/norm_out")
    # A pixel shuffle has the channel before the place in a patch.
    yield Rule(f"{name}.out_convs.0.unpatch_conv.weight", f"{path}/out/kernel", "(c p q) d 1 1 -> d p q c")
    yield Rule(f"{name}.out_convs.0.unpatch_conv.bias", f"{path}/out/bias", "(c p q) -> p q c")


def _blocks(name: str, path: str, depth: int) -> Iterator[Rule]:
    for i in range(depth):
        one, own = f"{name}.mid_block.res_blocks.{i}", f"{path}/block_{i}"
        yield from layer(f"{one}.depthwise", f"{own}/depthwise", "d 1 p q -> p q 1 d")
        yield from norm(f"{one}.norm", f"{own}/norm")
        yield from dense(f"{one}.channelwise_linear_1", f"{own}/up")
        yield from dense(f"{one}.channelwise_linear_2", f"{own}/down")
        yield Rule(f"{one}.channelwise_norm.weight", f"{own}/respond/scale", "1 1 1 d -> d")
        yield Rule(f"{one}.channelwise_norm.bias", f"{own}/respond/bias", "1 1 1 d -> d")
        yield Rule(f"{one}.cond_embeds_mapper.weight", f"{own}/modulation/kernel", "(two d) e -> e two d")
        yield Rule(f"{one}.cond_embeds_mapper.bias", f"{own}/modulation/bias", "(two d) -> two d")
