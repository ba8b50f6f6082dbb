"""The published encoders that are compared with transformers: a small random model for each, every option in use."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import transformers
from random_weights import redraw

from unified_jax.core.pictures import pack_pictures

PATCH, SIDE = 7, 28
WIDTH = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4)
VISION = dict(WIDTH, image_size=SIDE, patch_size=PATCH)
DINO = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, image_size=SIDE, patch_size=PATCH)
CLIP_TEXT = dict(WIDTH, vocab_size=64, max_position_embeddings=40, pad_token_id=0, bos_token_id=1)
T5 = dict(vocab_size=64, d_model=32, d_kv=12, d_ff=48, num_layers=3, num_heads=4)


@dataclasses.dataclass(frozen=True)
class Given:
    """The same input on both sides. ours: arguments. theirs: by keyword. real: which slots are compared."""

    ours: Sequence[Any]
    theirs: dict[str, torch.Tensor]
    real: Any = Ellipsis


def pixels(height: int, width: int, **options: Any) -> Given:
    x = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)
    return Given([x], dict(pixel_values=torch.tensor(x).permute(0, 3, 1, 2), **options))


def any_size(height: int, width: int) -> Given:
    """For references that resize their positions only when asked."""
    return pixels(height, width, interpolate_pos_encoding=True)


def hidden(height: int, width: int) -> Given:
    """With some patches behind the mask token."""
    given = pixels(height, width)
    mask = np.random.default_rng(1).random((2, height // PATCH * (width // PATCH))) < 0.3
    return Given([*given.ours, mask], dict(given.theirs, bool_masked_pos=torch.tensor(mask)))


def naflex(*sides: tuple[int, int]) -> Given:
    """One picture of its own size to a row of 16 slots, so that rows have empty ones."""
    rng = np.random.default_rng(0)
    rows = [[rng.normal(size=(height, width, 3)).astype(np.float32)] for height, width in sides]
    pictures = pack_pictures(rows, size=PATCH, capacity=16)
    theirs = dict(
        pixel_values=torch.tensor(pictures.patches),
        pixel_attention_mask=torch.tensor(pictures.doc),
        spatial_shapes=torch.tensor([[height // PATCH, width // PATCH] for height, width in sides]),
    )
    return Given([pictures], theirs, real=pictures.doc > 0)


def ids(length: int) -> Given:
    """The largest id once, in the middle; the end, which is 3, twice."""
    x = np.random.default_rng(0).integers(4, 60, (2, length)).astype(np.int32)
    x[:, length // 2], x[:, -3], x[:, -1] = 63, 3, 3
    return Given([x], dict(input_ids=torch.tensor(x, dtype=torch.long)))


def padded(length: int) -> Given:
    """With empty slots at the end and elsewhere, but not where the text ends."""
    given, mask = ids(length), np.ones((2, length), bool)
    mask[0, -2:], mask[1, 1 : length // 3] = False, False
    theirs = dict(given.theirs, attention_mask=torch.tensor(mask))
    return Given([*given.ours, mask], theirs, real=mask)


def queries(count: int, length: int) -> Given:
    rng = np.random.default_rng(0)
    x, context = (rng.normal(size=(2, *shape)).astype(np.float32) for shape in ((count, 32), (length, 24)))
    mask = np.ones((2, length), bool)
    mask[1, 2:] = False
    theirs = dict(
        query_embeds=torch.tensor(x),
        encoder_hidden_states=torch.tensor(context),
        encoder_attention_mask=torch.tensor(mask.astype(np.int64)),
    )
    return Given([x, context, mask], theirs)


@dataclasses.dataclass(frozen=True)
class Case:
    """name: of the row. model, config: classes of transformers. given: two inputs of unequal sizes."""

    name: str
    model: type
    config: Callable
    options: dict[str, Any]
    given: tuple[Given, Given]

    def reference(self) -> torch.nn.Module:
        """The model with random weights."""
        return redraw(self.model(self.config(**self.options)), lambda weight: 0.25)

    @property
    def version(self) -> str:
        return f"transformers {transformers.__version__}, {self.model.__name__}"


SQUARE, OBLONG = (SIDE, SIDE), (42, 21)
CASES = [
    Case(
        "clip-vision",
        transformers.CLIPVisionModel,
        transformers.CLIPVisionConfig,
        VISION,
        (any_size(*SQUARE), any_size(*OBLONG)),
    ),
    Case(
        "clip-text",
        transformers.CLIPTextModel,
        transformers.CLIPTextConfig,
        dict(CLIP_TEXT, eos_token_id=3),
        (ids(12), padded(40)),
    ),
    Case(
        "clip-vision-projection",
        transformers.CLIPVisionModelWithProjection,
        transformers.CLIPVisionConfig,
        dict(VISION, projection_dim=24),
        (any_size(*SQUARE), any_size(*OBLONG)),
    ),
    Case(
        "clip-text-projection",
        transformers.CLIPTextModelWithProjection,
        transformers.CLIPTextConfig,
        dict(CLIP_TEXT, eos_token_id=3, projection_dim=24),
        (ids(12), padded(40)),
    ),
    Case(
        "clip-text-early",
        transformers.CLIPTextModel,
        transformers.CLIPTextConfig,
        dict(CLIP_TEXT, eos_token_id=2, hidden_act="gelu"),
        (ids(12), ids(40)),
    ),
    Case(
        "siglip-vision",
        transformers.SiglipVisionModel,
        transformers.SiglipVisionConfig,
        VISION,
        (any_size(*SQUARE), any_size(*OBLONG)),
    ),
    Case(
        "siglip2-vision",
        transformers.Siglip2VisionModel,
        transformers.Siglip2VisionConfig,
        dict(WIDTH, patch_size=PATCH, num_patches=16),
        (naflex(SQUARE, SQUARE), naflex((14, 49), (42, 14))),
    ),
    Case(
        "dinov2",
        transformers.Dinov2Model,
        transformers.Dinov2Config,
        DINO,
        (pixels(*SQUARE), hidden(*OBLONG)),
    ),
    Case(
        "dinov2-giant",
        transformers.Dinov2Model,
        transformers.Dinov2Config,
        dict(DINO, use_swiglu_ffn=True, use_mask_token=False, qkv_bias=False),
        (pixels(*SQUARE), pixels(*OBLONG)),
    ),
    Case(
        "dinov2-registers",
        transformers.Dinov2WithRegistersModel,
        transformers.Dinov2WithRegistersConfig,
        DINO,
        (pixels(*SQUARE), hidden(*OBLONG)),
    ),
    Case(
        "blip2-vision",
        transformers.Blip2VisionModel,
        transformers.Blip2VisionConfig,
        VISION,
        (any_size(*SQUARE), any_size(*OBLONG)),
    ),
    Case(
        "blip2-qformer",
        transformers.Blip2QFormerModel,
        transformers.Blip2QFormerConfig,
        dict(WIDTH, num_hidden_layers=6, cross_attention_frequency=3, encoder_hidden_size=24),
        (queries(5, 9), queries(3, 14)),
    ),
    Case("t5", transformers.T5EncoderModel, transformers.T5Config, T5, (ids(12), padded(150))),
    Case(
        "t5-gated",
        transformers.T5EncoderModel,
        transformers.T5Config,
        dict(T5, feed_forward_proj="gated-gelu", relative_attention_num_buckets=16, relative_attention_max_distance=40),
        (ids(12), padded(60)),
    ),
    Case("umt5", transformers.UMT5EncoderModel, transformers.UMT5Config, T5, (ids(12), padded(150))),
]
