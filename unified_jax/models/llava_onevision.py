"""LLaVA-OneVision: one picture small and in tiles, several small, before a language model (arXiv:2408.03326, 3.2).

    alone      rows x columns of the small one, then of all tiles together row by row, a newline behind each row
    several    rows x columns of the small one in a square of the mean colour, newline

Of the tiles together what is border is left out, and what is more than so many tiles is made smaller.
``LlavaOnevisionForConditionalGeneration`` of transformers, without its videos; it reads pictures and draws none.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from unified_jax.codecs.patch import Patches
from unified_jax.core.types import DTypeLike, Float, PRNGKeyArray
from unified_jax.data.document import Document, Image
from unified_jax.data.pack import Layout, Stream
from unified_jax.data.picture_size import exactly
from unified_jax.data.picture_steps import PadSquare, Resize
from unified_jax.data.plan import Span
from unified_jax.data.preprocess import Preprocess
from unified_jax.data.processors import ONEVISION
from unified_jax.interop.rules import Rule
from unified_jax.models import llava
from unified_jax.models.any_resolution import AnyRes
from unified_jax.models.connectors import projector
from unified_jax.models.decoders import chat
from unified_jax.models.decoders.causal_lm import TextSide, text_side
from unified_jax.models.decoders.find import find_decoder, text_config
from unified_jax.models.family import Family, without_text
from unified_jax.models.model import Model
from unified_jax.models.published import Beside, Config, with_defaults
from unified_jax.models.reader import Reader, given, unprepared
from unified_jax.models.tables import COMPONENTS, find
from unified_jax.nn.tiled import HEAD, NEWLINE, Tiled, joined, payload_of
from unified_jax.sampling.fill import Autoregress

# transformers' own, which published files of this family leave out.
DEFAULTS = llava.DEFAULTS | {
    "vision_feature_select_strategy": "full",
    "vision_feature_layer": -1,
    "image_grid_pinpoints": ONEVISION["image_grid_pinpoints"],
    "vision_aspect_ratio": "anyres_max_9",
}


def llava_onevision(config: Config, beside: Beside, *, dtype: DTypeLike, **computation: Any) -> Model:
    """computation: choices of ``lm.computed``. Raises ValueError for a choice of states that is not known."""
    config = with_defaults(config, DEFAULTS)
    text, vision = text_config(config), Config(config["vision_config"])
    tied = config["tie_word_embeddings"] or text.get("tie_word_embeddings", False)
    words = text_side(find_decoder(text, dtype=dtype, **computation), text, tied=tied, dtype=dtype)
    tower, connector = find(COMPONENTS, vision["model_type"])(vision, dtype=dtype), projector.llava(config, dtype=dtype)
    width, grid, states = text["hidden_size"], tower.module.embed.grid, llava.states_of(config, tower)
    anyres = AnyRes.of(config, grid)
    tiled = Tiled(tower.module, connector.module, width, grid, **states, share=anyres.share, dtype=dtype)
    newline = Rule("image_newline", "embed_vision/newline")
    return Model(
        lane={"text": "main", "vision": "main"},
        width={"main": width},
        embed={"text": words.tokens, "vision": tiled},
        backbone=words.stack,
        heads={"text": words.head},
        dtype=dtype,
        family=dataclasses.replace(
            _family(config, beside, words=words, anyres=anyres, patches=Tiles(tower.module.embed.patch)),
            published=llava.published(config, words, tower, connector, files=beside.files, also=(newline,)),
        ),
    )


@dataclasses.dataclass(frozen=True)
class Tiles(Patches):
    """Patches of tiles: pixels [B M H W 3], of which what is less than a patch is left out, -> [B M T P]."""

    def encode(
        self, params: Mapping[str, Any], pixels: Float[np.ndarray, "B M H W 3"], *, rng: PRNGKeyArray | None = None
    ) -> np.ndarray:
        height, width = (n - n % self.size for n in pixels.shape[2:4])
        found = [super(Tiles, self).encode(params, tiles[:, :height, :width]) for tiles in pixels]
        return np.stack([np.asarray(x).reshape(len(x), -1, x.shape[-1]) for x in found])


def _family(config: Config, beside: Beside, *, words: TextSide, anyres: AnyRes, patches: Tiles) -> Family:
    tokenizer, side, size = beside.tokenizer, anyres.side, math.prod(anyres.grid)
    entry, least = (HEAD + anyres.share * patches.shape[0],), -(-size // anyres.share)
    pictures = chat.Pictures(
        partial(_spans, anyres=anyres),
        place=config["image_token_index"],
        start=tokenizer.special["bos_token"] if tokenizer.add_bos else "",
    )
    return Family(
        name=config["model_type"],
        arguments={},
        tokenizer=tokenizer,
        codec=patches,
        streams={"text": Stream("main"), "vision": Stream("main", entry, patches.dtype)},
        smallest=Layout({"main": least}, {"text": 1, "vision": least}),
        image_size=(side - side % patches.size, side - side % patches.size),
        write=partial(_write, pictures=pictures, tokenizer=tokenizer),
        null=without_text,
        fills={"text": Autoregress("text", allowed=(0, words.tokens.vocab), stop=tokenizer.stop)},
        values_of=lambda values: values,
        reader=Reader(unprepared if beside.preprocess is None else _both(beside.preprocess), patches),
    )


def _both(preprocess: Preprocess) -> Callable[[np.ndarray], np.ndarray]:
    """All that a picture may be seen as: its tiles as the processor makes them, and at the end itself in a square."""
    tiles, *rest = preprocess.steps
    square = PadSquare(tuple(int(255 * x) for x in rest[-1].mean))
    whole = Preprocess((square, Resize(partial(exactly, size=(tiles.side, tiles.side)), tiles.filter), *rest))
    return lambda pixels: np.concatenate([preprocess(pixels), whole(pixels)[None]])


def _write(document: Document, *, pictures: chat.Pictures, tokenizer: Any) -> list[Span]:
    several = sum(isinstance(part, Image) for part in document) > 1
    spans = partial(pictures.spans, several=several)
    return chat.writer(tokenizer, dataclasses.replace(pictures, spans=spans))(document)


def _spans(image: Image, *, anyres: AnyRes, several: bool) -> list[Span]:
    """Raises ValueError for a picture without pixels, whose shape is not known, and as ``payload_of``."""
    tiles = given(image)
    if several:
        tiles, places = tiles[-1:], joined([anyres.small(), NEWLINE])
    elif image.pixels is None:
        raise ValueError("a picture alone needs its pixels: how large it was decides what is shown of it")
    else:
        tiles, places = tiles[:-1], anyres.places(*image.pixels.shape[:2])
    entries = payload_of(tiles, places, share=anyres.share)
    return [Span((("vision", entries),), learn=False, grid=(1, len(entries)))]
