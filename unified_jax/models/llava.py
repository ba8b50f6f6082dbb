"""LLaVA: pictures through an encoder and a small network into a language model (arXiv:2304.08485, 2310.03744).

    place of a picture in the text -> rows x columns entries, patch by patch in reading order, causal like words

The states are those of CLIP's last layer but one, without its class token; version 1.5 has two affine maps behind it.
``LlavaForConditionalGeneration`` of transformers; it reads pictures and draws none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from unified_jax.codecs.patch import Patches
from unified_jax.core.types import DTypeLike
from unified_jax.data.pack import Layout, Stream
from unified_jax.interop.pairs import renamed, under
from unified_jax.interop.rules import Rule
from unified_jax.models.connectors import projector
from unified_jax.models.decoders import chat
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.find import find_decoder, text_config
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Component, Config, Published, skip_under, with_defaults
from unified_jax.models.reader import Reader, entries, unprepared
from unified_jax.models.tables import COMPONENTS, find
from unified_jax.nn.vision import Vision
from unified_jax.sampling.fill import Autoregress

# transformers' own, which published files of this family leave out.
DEFAULTS = projector.LLAVA | {"vision_feature_select_strategy": "default", "tie_word_embeddings": False}


def llava(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Raises ValueError for a choice of states that is not known."""
    config = with_defaults(config, DEFAULTS)
    text, vision = text_config(config), Config(config["vision_config"])
    tied = config["tie_word_embeddings"] or text.get("tie_word_embeddings", False)
    words = text_side(find_decoder(text, dtype=dtype, **computation), text, tied=tied, dtype=dtype)
    tower, connector = find(COMPONENTS, vision["model_type"])(vision, dtype=dtype), projector.llava(config, dtype=dtype)
    width = text["hidden_size"]
    return Model(
        lane={"text": "main", "vision": "main"},
        width={"main": width},
        embed={
            "text": words.tokens,
            "vision": Vision(
                tower.module,
                connector.module,
                width,
                tower.module.embed.grid,
                **states_of(config, tower),
                dtype=dtype,
            ),
        },
        backbone=words.stack,
        heads={"text": words.head},
        dtype=dtype,
        family=_family(config, beside, words=words, tower=tower, connector=connector),
    )


def _family(config: Config, beside: Beside, *, words: TextSide, tower: Component, connector: Component) -> Family:
    tokenizer, patches, grid = beside.tokenizer, Patches(tower.module.embed.patch), tower.module.embed.grid
    pictures = chat.Pictures(
        lambda image: [entries(image, grid=grid)],
        place=config["image_token_index"],
        start=tokenizer.special["bos_token"] if tokenizer.add_bos else "",
    )
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=tokenizer,
        codec=patches,
        streams={"text": Stream("main"), "vision": Stream("main", patches.shape, patches.dtype)},
        smallest=Layout({"main": grid[0] * grid[1]}, {"text": 1, "vision": grid[0] * grid[1]}),
        image_size=(grid[0] * patches.size, grid[1] * patches.size),
        write=chat.writer(tokenizer, pictures),
        null=without_text,
        fills={"text": Autoregress("text", allowed=(0, words.tokens.vocab), stop=tokenizer.stop)},
        values_of=lambda values: values,
        published=published(config, words, tower, connector, files=beside.files),
        reader=Reader(beside.preprocess or unprepared, patches),
    )


def states_of(config: Config, tower: Component) -> dict[str, int]:
    """Which states are read, as fields of ``Vision``.

    Raises ValueError where the class token is kept, or states of several layers are read.
    """
    strategy, layer = config["vision_feature_select_strategy"], config["vision_feature_layer"]
    embed = tower.module.embed
    leading = embed.class_tokens + embed.registers
    if not isinstance(layer, int) or strategy not in ("default", "full") or (strategy == "full") == bool(leading):
        raise ValueError(
            f"vision_feature_layer {layer} with vision_feature_select_strategy {strategy!r}: one layer's states of the "
            "patches alone are read here"
        )
    return {"layer": layer, "leading": leading}


def published(
    config: Config,
    words: TextSide,
    tower: Component,
    connector: Component,
    *,
    files: Mapping[str, Any],
    also: Sequence[Rule] = (),
) -> Published:
    """also: rules of what a system has beside these."""
    rules = (
        *renamed(words.rules, {"model.": "language_model.model.", "lm_head.": "language_model.lm_head."}),
        *under("vision_tower.", tower.published.rules, path="embed_vision/encoder/"),
        *under("", connector.published.rules, path="embed_vision/connector/"),
        *also,
    )
    skip = skip_under({"language_model.": words.skip, "vision_tower.": tower.published.skip})
    return Published(dict(config), rules, skip, former=FORMER, files=files)


# Names that earlier releases wrote, and those of transformers 4.52 to 4.57 alone.
FORMER = {
    r"vision_tower\.vision_model\.": "vision_tower.",
    r"^model\.language_model\.": "language_model.model.",
    r"^model\.": "",
    r"^lm_head\.": "language_model.lm_head.",
}
